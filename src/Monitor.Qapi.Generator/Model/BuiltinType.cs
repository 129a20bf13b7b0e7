namespace Monitor.Qapi.Generator.Model;

/// <summary>A type of the QAPI language itself.</summary>
/// <param name="Name">The word in the schema, such as <c>uint32</c>.</param>
/// <param name="CSharp">The C# type, such as <c>uint</c>.</param>
/// <param name="Reader">The visitor's method that reads one.</param>
/// <param name="Introspected">The name in introspection, where all integers are <c>int</c>.</param>
/// <param name="JsonType">The introspected <c>json-type</c>.</param>
internal sealed record BuiltinType(string Name, string CSharp, string Reader, string Introspected, string JsonType)
    : SchemaType(Name, "")
{
    /// <summary>All builtins.</summary>
    public static readonly BuiltinType[] All =
    [
        new("str", "string", "ReadString", "str", "string"),
        new("bool", "bool", "ReadBool", "bool", "boolean"),
        new("int", "long", "ReadInt64", "int", "int"),
        new("int8", "sbyte", "ReadInt8", "int", "int"),
        new("int16", "short", "ReadInt16", "int", "int"),
        new("int32", "int", "ReadInt32", "int", "int"),
        new("int64", "long", "ReadInt64", "int", "int"),
        new("uint8", "byte", "ReadUInt8", "int", "int"),
        new("uint16", "ushort", "ReadUInt16", "int", "int"),
        new("uint32", "uint", "ReadUInt32", "int", "int"),
        new("uint64", "ulong", "ReadUInt64", "int", "int"),
        new("size", "ulong", "ReadSize", "int", "int"),
        new("number", "double", "ReadNumber", "number", "number"),
        new("null", "QmpNull", "", "null", "null"),
        new("any", "QmpValue", "", "any", "value"),
    ];

    /// <summary>Whether values are C# objects that read and write themselves.</summary>
    public bool IsOwnType => Reader.Length == 0;
}
