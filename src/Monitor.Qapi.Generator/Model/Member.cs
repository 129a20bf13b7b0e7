namespace Monitor.Qapi.Generator.Model;

/// <summary>One member of an object.</summary>
/// <param name="Name">The wire name, without the optional mark.</param>
/// <param name="Type">What it is of.</param>
/// <param name="IsOptional">Whether it may be absent.</param>
/// <param name="IsPlanned">Declared, not implemented: unknown to the wire.</param>
/// <param name="Doc">What it means.</param>
/// <param name="Default">What its absence means, as JSON; <see langword="null"/> when the schema does not say.</param>
/// <param name="Features">Marks for introspection, such as <c>deprecated</c>.</param>
internal sealed record Member(
    string Name, TypeReference Type, bool IsOptional, bool IsPlanned, string Doc, string? Default, IReadOnlyList<string> Features);

/// <summary>A type by name, or a list of it.</summary>
internal readonly record struct TypeReference(string Name, bool IsList)
{
    public override string ToString() => IsList ? $"[{Name}]" : Name;
}
