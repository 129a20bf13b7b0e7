namespace Monitor.Qapi.Generator.Model;

/// <summary>A value that is of one of several types, told apart by its JSON kind.</summary>
internal sealed record AlternateType(string Name, string Doc, IReadOnlyList<Member> Alternatives)
    : SchemaType(Name, Doc);
