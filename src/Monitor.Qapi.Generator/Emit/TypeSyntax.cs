using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>How a schema type is spelled, read and written in C#.</summary>
internal sealed class TypeSyntax(Schema schema)
{
    /// <summary>The C# type, not nullable.</summary>
    public string Name(TypeReference reference)
    {
        SchemaType type = schema.Resolve(reference.Name, reference.Name);
        string name = type is BuiltinType builtin ? builtin.CSharp : type.Name;
        return reference.IsList ? $"IReadOnlyList<{name}>" : name;
    }

    /// <summary>The C# type of a member, nullable when it is optional.</summary>
    public string MemberType(Member member) => Name(member.Type) + (member.IsNullable ? "?" : "");

    /// <summary>The expression that reads a required value.</summary>
    /// <param name="reference">The value's type.</param>
    /// <param name="name">The C# expression of the member's name: a literal, <c>name</c> or <c>null</c>.</param>
    public string Read(TypeReference reference, string name)
    {
        if (reference.IsList)
        {
            return $"QapiLists.{ListReader(reference.Name)}(visitor, {name})";
        }

        return schema.Resolve(reference.Name, reference.Name) switch
        {
            BuiltinType { IsOwnType: false } builtin => $"visitor.{builtin.Reader}({name})",
            BuiltinType builtin => $"{builtin.CSharp}.Read(visitor, {name})",
            EnumType type => $"{type.Name}Wire.Read(visitor, {name})",
            SchemaType type => $"{type.Name}.Read(visitor, {name})",
        };
    }

    /// <summary>The expression that reads a member, absent or not.</summary>
    public string ReadMember(Member member)
    {
        string name = $"\"{member.Name}\"";
        string read = Read(member.Type, name);
        return member.IsOptional ? $"visitor.HasMember({name}) ? {read} : null" : read;
    }

    /// <summary>The statement that writes <paramref name="value"/> where a value goes.</summary>
    public string WriteValue(TypeReference reference, string value)
    {
        if (reference.IsList)
        {
            return $"QapiLists.Write(writer, {value});";
        }

        return schema.Resolve(reference.Name, reference.Name) switch
        {
            BuiltinType { JsonType: "string" } => $"writer.WriteString({value});",
            BuiltinType { JsonType: "boolean" } => $"writer.WriteBoolean({value});",
            BuiltinType { IsOwnType: false } => $"writer.WriteNumber({value});",
            EnumType => $"writer.WriteRaw({value}.ToJson());",
            _ => $"{value}.Write(writer);",
        };
    }

    /// <summary>The name of the list reader in <c>QapiLists</c>.</summary>
    public string ListReader(string element) => "Read" + (schema.Resolve(element, element) is BuiltinType ? Names.Pascal(element) : element);
}
