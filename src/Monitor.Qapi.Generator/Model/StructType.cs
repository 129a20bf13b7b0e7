namespace Monitor.Qapi.Generator.Model;

/// <summary>An object with fixed members.</summary>
/// <param name="Name">The type's name.</param>
/// <param name="Doc">What it means.</param>
/// <param name="Base">The struct whose members come first.</param>
/// <param name="OwnMembers">The members it adds.</param>
/// <param name="Features">Marks for introspection.</param>
/// <param name="IsCommandLine">Read from an option of the command line, so it needs no command to be reachable.</param>
internal sealed record StructType(
    string Name, string Doc, string? Base, IReadOnlyList<Member> OwnMembers, IReadOnlyList<string> Features, bool IsCommandLine)
    : SchemaType(Name, Doc);
