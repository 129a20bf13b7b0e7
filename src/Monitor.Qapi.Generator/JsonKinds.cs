using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator;

/// <summary>The JSON kind that tells the alternatives of an alternate apart; the words are the members of <c>QmpValueKind</c>.</summary>
internal static class JsonKinds
{
    /// <summary>The kind of an alternative's values.</summary>
    public static string Of(Schema schema, AlternateType alternate, Member member) =>
        member.Type.IsList ? "List" : Of(schema.Resolve(member.Type.Name, alternate.Name));

    private static string Of(SchemaType type) => type switch
    {
        StructType or UnionType => "Dict",
        EnumType => "String",
        BuiltinType { JsonType: "string" } => "String",
        BuiltinType { JsonType: "boolean" } => "Bool",
        BuiltinType { JsonType: "int" or "number" } => "Number",
        BuiltinType { JsonType: "null" } => "Null",
        _ => throw new SchemaException(type.Name, "cannot be an alternative"),
    };
}
