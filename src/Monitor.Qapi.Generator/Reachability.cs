using Monitor.Qapi.Generator.Model;

namespace Monitor.Qapi.Generator;

/// <summary>Which types the implemented part of the schema reads and which it writes: only those get code.</summary>
internal sealed class Reachability
{
    private readonly Schema _schema;
    private readonly bool _withPlanned;

    private Reachability(Schema schema, bool withPlanned)
    {
        _schema = schema;
        _withPlanned = withPlanned;
    }

    /// <summary>Types that a client's input can hold.</summary>
    public HashSet<string> Inputs { get; } = [];

    /// <summary>Types that a reply or an event can hold.</summary>
    public HashSet<string> Outputs { get; } = [];

    /// <summary>Element types of lists in <see cref="Inputs"/>.</summary>
    public HashSet<string> InputLists { get; } = [];

    /// <summary>Element types of lists in <see cref="Outputs"/>.</summary>
    public HashSet<string> OutputLists { get; } = [];

    /// <summary>What generated code must read and write.</summary>
    public static Reachability OfImplemented(Schema schema)
    {
        var reachability = new Reachability(schema, withPlanned: false);
        reachability.Walk();
        return reachability;
    }

    /// <summary>Every type that any entry uses, planned or not.</summary>
    public static HashSet<string> OfDeclared(Schema schema)
    {
        var reachability = new Reachability(schema, withPlanned: true);
        reachability.Walk();
        return [.. reachability.Inputs, .. reachability.Outputs];
    }

    private void Walk()
    {
        foreach (Command command in _schema.Commands)
        {
            if (_withPlanned || (command.Traits & (CommandTraits.Planned | CommandTraits.HandWritten)) == 0)
            {
                Visit(command.Data, Inputs, InputLists);
                Visit(command.Returns, Outputs, OutputLists);
            }
        }

        foreach (Event entry in _schema.Events)
        {
            if (_withPlanned || !entry.IsPlanned)
            {
                Visit(entry.Data, Outputs, OutputLists);
            }
        }

        foreach (StructType type in _schema.Types.OfType<StructType>().Where(type => type.IsCommandLine))
        {
            Visit(type.Name, Inputs, InputLists);
        }
    }

    private void Visit(TypeReference? reference, HashSet<string> types, HashSet<string> lists)
    {
        if (reference is { } type)
        {
            if (type.IsList)
            {
                lists.Add(type.Name);
            }

            Visit(type.Name, types, lists);
        }
    }

    private void Visit(string? name, HashSet<string> types, HashSet<string> lists)
    {
        if (name is null || !types.Add(name))
        {
            return;
        }

        SchemaType type = _schema.Resolve(name, name);
        IEnumerable<Member> members = type switch
        {
            AlternateType alternate => alternate.Alternatives,
            StructType or UnionType => _withPlanned ? _schema.AllMembersOf(type) : _schema.MembersOf(type),
            _ => [],
        };
        foreach (Member member in members)
        {
            Visit(member.Type, types, lists);
        }

        if (_withPlanned && type is StructType { Base: { } baseName })
        {
            Visit(baseName, types, lists);
        }

        if (type is UnionType union)
        {
            if (_withPlanned)
            {
                Visit(union.Base, types, lists);
            }

            foreach (UnionBranch branch in _withPlanned ? union.AllBranches : _schema.BranchesOf(union))
            {
                Visit(branch.Type, types, lists);
            }
        }
    }
}
