namespace Monitor.Qapi.Generator.Model;

/// <summary>An event of the wire.</summary>
/// <param name="Name">The wire name.</param>
/// <param name="Module">The schema file that declares it.</param>
/// <param name="Doc">When it is sent.</param>
/// <param name="Data">The name of its data type; <see langword="null"/> when it has none.</param>
/// <param name="IsPlanned">Declared, not implemented.</param>
/// <param name="Features">Marks for introspection.</param>
internal sealed record Event(string Name, string Module, string Doc, string? Data, bool IsPlanned, IReadOnlyList<string> Features);
