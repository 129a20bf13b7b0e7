using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator.Emit;

/// <summary>Emits what structs and unions have in common: properties, and reading and writing of members.</summary>
internal sealed class MemberEmitter(TypeSyntax syntax)
{
    /// <summary>One property per member.</summary>
    public void EmitProperties(CodeWriter code, IEnumerable<Member> members)
    {
        foreach (Member member in members)
        {
            string doc = member.Default is null ? member.Doc : $"{member.Doc} Default: <c>{member.Default}</c>.";
            code.Summary(doc);
            string modifiers = member.IsNullable ? "public" : "public required";
            code.Line($"{modifiers} {syntax.MemberType(member)} {Names.Pascal(member.Name)} {{ get; init; }}");
            code.Line();
        }
    }

    /// <summary>Statements that write each member, absent ones left out.</summary>
    public void EmitWrites(CodeWriter code, IEnumerable<Member> members)
    {
        foreach (Member member in members)
        {
            string property = Names.Pascal(member.Name);
            string value = property;
            if (member.IsNullable)
            {
                value = Names.Camel(member.Name).TrimStart('@') + "Value";
                string wanted = member.Since is null ? "" : "ReplyExtensions.ShowsNewerMembers && ";
                code.Open($"if ({wanted}{property} is {{ }} {value})");
            }

            code.Line($"writer.WriteName(\"\\\"{member.Name}\\\": \"u8);");
            code.Line(syntax.WriteValue(member.Type, value));
            if (member.IsNullable)
            {
                code.Close();
            }
        }
    }

    /// <summary>The <c>Write</c> of a type that has <c>WriteMembers</c>.</summary>
    public static void EmitWrite(CodeWriter code)
    {
        code.Line("/// <inheritdoc/>");
        code.Open("public void Write(JsonWriter writer)");
        code.Line("writer.WriteStartObject();").Line("WriteMembers(writer);").Line("writer.WriteEndObject();");
        code.Close().Line();
    }

    /// <summary>The <c>Read</c> of a type that has <c>ReadMembers</c>.</summary>
    public static void EmitRead(CodeWriter code, string type)
    {
        code.Summary("Reads one, with every argument error worded as the wire wants it.");
        code.Open($"public static {type} Read(QmpInputVisitor visitor, string? name)");
        code.Line("visitor.StartStruct(name);");
        code.Line($"{type} value = ReadMembers(visitor);");
        code.Line("visitor.CheckStruct();").Line("visitor.EndStruct();").Line("return value;");
        code.Close().Line();
    }
}
