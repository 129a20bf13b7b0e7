namespace Monitor.Block;

/// <summary>An edge of the graph: what its parent does with the node below and lets others do.</summary>
/// <remarks>
/// <see cref="Node"/> changes only in a <see cref="DrainedSection"/>, so the data plane reads it freely. Requests made on behalf of
/// one already inside travel along edges and never knock at a door again.
/// </remarks>
public sealed class BlockChild
{
    private BlockNode _node;

    internal BlockChild(IBlockParent parent, BlockNode node, string name, BlockChildRole role)
    {
        Parent = parent;
        _node = node;
        Name = name;
        Role = role;
    }

    /// <summary>Who stands above.</summary>
    public IBlockParent Parent { get; }

    /// <summary>The node below.</summary>
    public BlockNode Node
    {
        get => _node;
        internal set => Volatile.Write(ref _node, value);
    }

    /// <summary>The edge's name: <c>file</c>, <c>backing</c>, <c>data-file</c>, <c>root</c> ….</summary>
    public string Name { get; }

    /// <summary>What the child is to its parent.</summary>
    public BlockChildRole Role { get; internal set; }

    /// <summary>What the parent does with the node.</summary>
    public BlockPermission Used { get; internal set; }

    /// <summary>What the parent lets others do with the node.</summary>
    public BlockPermission Shared { get; internal set; } = BlockPermission.All;

    /// <summary>Stays at its node when a filter is put above that node or the node is replaced (a job's own edge).</summary>
    public bool StaysAtNode { get; init; }

    /// <summary>Leads to the node it leads to for as long as somebody relies on it (<see cref="FrozenChain"/>).</summary>
    public bool IsFrozen { get; internal set; }

    /// <summary>Moves an edge to another node, whose parent list then has it.</summary>
    internal static void Repoint(BlockChild edge, BlockNode to)
    {
        edge.Node.RemoveParent(edge);
        edge.Node = to;
        to.AddParent(edge);
        (edge.Parent as BlockBackend)?.FollowNode();
    }
}
