namespace Monitor.Qapi.Generator.Model;

/// <summary>A closed set of words.</summary>
internal sealed record EnumType(string Name, string Doc, IReadOnlyList<EnumValue> AllValues, IReadOnlyList<string> Features)
    : SchemaType(Name, Doc)
{
    /// <summary>The values that are implemented.</summary>
    public IReadOnlyList<EnumValue> Values { get; } = [.. AllValues.Where(value => !value.IsPlanned)];
}

/// <summary>One word of an enum.</summary>
internal sealed record EnumValue(string Name, string Doc, bool IsPlanned, IReadOnlyList<string> Features, string? Since = null);
