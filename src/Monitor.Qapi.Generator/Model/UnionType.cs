namespace Monitor.Qapi.Generator.Model;

/// <summary>An object whose further members depend on one enum member, the discriminator.</summary>
/// <param name="Name">The type's name.</param>
/// <param name="Doc">What it means.</param>
/// <param name="Base">A struct with the common members, if named.</param>
/// <param name="OwnMembers">The common members, if given in place.</param>
/// <param name="Discriminator">The member that chooses.</param>
/// <param name="AllBranches">The struct of each discriminator value that has one.</param>
/// <param name="Features">Marks for introspection.</param>
internal sealed record UnionType(
    string Name,
    string Doc,
    string? Base,
    IReadOnlyList<Member> OwnMembers,
    string Discriminator,
    IReadOnlyList<UnionBranch> AllBranches,
    IReadOnlyList<string> Features)
    : SchemaType(Name, Doc);

/// <summary>The struct that one discriminator value adds to a union.</summary>
internal sealed record UnionBranch(string Value, string Type);
