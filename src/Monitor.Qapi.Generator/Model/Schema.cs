namespace Monitor.Qapi.Generator.Model;

/// <summary>The whole schema, in the order of its files and entries.</summary>
internal sealed class Schema
{
    private readonly Dictionary<string, SchemaType> _types = BuiltinType.All.ToDictionary(type => type.Name, SchemaType (type) => type);
    private readonly Dictionary<string, string> _modules = [];

    public List<SchemaType> Types { get; } = [];

    public List<Command> Commands { get; } = [];

    public List<Event> Events { get; } = [];

    /// <summary>The codes of errors; the first whose text fits is an error's.</summary>
    public List<ErrorCode> Errors { get; } = [];

    /// <summary>Adds a type declared by <paramref name="module"/>.</summary>
    public void Add(SchemaType type, string module)
    {
        if (!_types.TryAdd(type.Name, type))
        {
            throw new SchemaException($"{module}: {type.Name}", "declared twice");
        }

        _modules[type.Name] = module;
        Types.Add(type);
    }

    /// <summary>The file that declares <paramref name="type"/>.</summary>
    public string ModuleOf(SchemaType type) => _modules[type.Name];

    /// <summary>The type called <paramref name="name"/>.</summary>
    /// <param name="name">A builtin's or declared type's name.</param>
    /// <param name="user">Whose reference it is, for the error.</param>
    public SchemaType Resolve(string name, string user) =>
        _types.TryGetValue(name, out SchemaType? type) ? type : throw new SchemaException(user, $"unknown type '{name}'");

    /// <summary>The implemented members of a struct, or common members of a union, base first.</summary>
    public IEnumerable<Member> MembersOf(SchemaType type) => AllMembersOf(type).Where(member => !member.IsPlanned);

    /// <summary>All members of a struct, or all common members of a union, base first.</summary>
    public IEnumerable<Member> AllMembersOf(SchemaType type)
    {
        (string? baseName, IReadOnlyList<Member> own) = type switch
        {
            StructType structType => (structType.Base, structType.OwnMembers),
            UnionType union => (union.Base, union.OwnMembers),
            _ => throw new SchemaException(type.Name, "has no members: neither struct nor union"),
        };
        return baseName is null ? own : AllMembersOf(Resolve(baseName, type.Name)).Concat(own);
    }

    /// <summary>The discriminator's enum.</summary>
    public EnumType DiscriminatorOf(UnionType union)
    {
        Member? member = AllMembersOf(union).FirstOrDefault(member => member.Name == union.Discriminator);
        return member is { IsOptional: false, Type.IsList: false } && Resolve(member.Type.Name, union.Name) is EnumType type
            ? type
            : throw new SchemaException(union.Name, $"discriminator '{union.Discriminator}' is not a required enum member of the base");
    }

    /// <summary>The branches whose discriminator value is implemented.</summary>
    public IEnumerable<UnionBranch> BranchesOf(UnionType union)
    {
        EnumType discriminator = DiscriminatorOf(union);
        return union.AllBranches.Where(branch => discriminator.Values.Any(value => value.Name == branch.Value));
    }
}
