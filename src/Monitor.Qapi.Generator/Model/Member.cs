namespace Monitor.Qapi.Generator.Model;

/// <summary>One member of an object.</summary>
/// <param name="Name">The wire name, without the optional mark.</param>
/// <param name="Type">What it is of.</param>
/// <param name="IsOptional">Whether it may be absent.</param>
/// <param name="IsPlanned">Declared, not implemented: unknown to the wire.</param>
/// <param name="Doc">What it means.</param>
/// <param name="Default">What its absence means, as JSON; <see langword="null"/> when the schema does not say.</param>
/// <param name="Features">Marks for introspection, such as <c>deprecated</c>.</param>
/// <param name="Since">The QEMU release after 7.2 that added it to a reply; <see langword="null"/> for what 7.2 has.</param>
internal sealed record Member(
    string Name,
    TypeReference Type,
    bool IsOptional,
    bool IsPlanned,
    string Doc,
    string? Default,
    IReadOnlyList<string> Features,
    string? Since = null)
{
    /// <summary>Whether an object may be without it: newer members are left out for clients of 7.2.</summary>
    public bool IsNullable => IsOptional || Since is not null;
}

/// <summary>A type by name, or a list of it.</summary>
internal readonly record struct TypeReference(string Name, bool IsList)
{
    public override string ToString() => IsList ? $"[{Name}]" : Name;
}
