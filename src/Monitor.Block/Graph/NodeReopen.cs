using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>What a <see cref="BlockReopen"/> changes of one node, and how it was before.</summary>
/// <param name="node">The node; drained when it is changed.</param>
/// <param name="options">Its new options.</param>
internal sealed class NodeReopen(BlockNode node, BlockdevOptions? options)
{
    private readonly BlockNodeSettings _settingsBefore = node.Settings;
    private readonly BlockdevOptions? _optionsBefore = node.Definition;
    private readonly List<Action> _undo = [];

    /// <summary>The node.</summary>
    public BlockNode Node => node;

    /// <summary>Its new options.</summary>
    public BlockdevOptions? Options => options;

    /// <summary>Whether the client named it: then what its options leave open does not come from its parent.</summary>
    public bool IsNamed { get; init; }

    /// <summary>Whether the client gave its options, by its name or inside its parent's; otherwise it keeps what it has where its parent's options say nothing.</summary>
    public bool IsGiven { get; init; }

    /// <summary>Its new settings, once they are worked out.</summary>
    public BlockNodeSettings? Settings { get; set; }

    /// <summary>Edges that get another node; no node for an edge that goes, no edge for a backing edge that is new.</summary>
    public List<(BlockChild? Edge, BlockNode? Child)> Edges { get; } = [];

    /// <summary>The nodes that were children before.</summary>
    public List<BlockNode> Left { get; } = [];

    /// <summary>Whether it gets another node as its file.</summary>
    public bool ReplacesFile => Edges.Exists(moved => moved.Edge is { Name: BlockNode.FileChild });

    /// <summary>Whether it was writable and is to be read-only, and writes at all.</summary>
    public bool BecomesReadOnly => node.IsActive && Settings!.ReadOnly && !_settingsBefore.ReadOnly;

    /// <summary>Whether it was read-only and is to be writable, at once.</summary>
    public bool BecomesWritable => node.IsActive && !Settings!.ReadOnly && _settingsBefore.ReadOnly;

    /// <summary>Changes settings and edges; permissions are the caller's affair.</summary>
    public void Apply()
    {
        node.SettingsBeforeReopen = _settingsBefore;
        node.Settings = Settings!;
        foreach (var (edge, child) in Edges)
        {
            Move(edge, child);
        }

        TellFile();
    }

    /// <summary>Takes back everything that <see cref="Apply"/> did.</summary>
    public void Revert()
    {
        for (int i = _undo.Count - 1; i >= 0; i--)
        {
            _undo[i]();
        }

        _undo.Clear();
        Left.Clear();
        TellFile();
        node.Settings = _settingsBefore;
        node.SettingsBeforeReopen = null;
        node.Reconfigure(_optionsBefore);
    }

    /// <summary>The change stands.</summary>
    public void Conclude()
    {
        node.SettingsBeforeReopen = null;
        node.Definition = options;
    }

    private void TellFile()
    {
        if (ReplacesFile)
        {
            node.OnFileReplaced();
        }
    }

    private void Move(BlockChild? edge, BlockNode? child)
    {
        if (edge is null)
        {
            var made = new BlockChild(node, child!, "backing", BlockChildRole.CopyOnWrite);
            child!.AddParent(made);
            node.AddChild(made);
            _undo.Add(() => Unlink(made));
            return;
        }

        BlockNode before = edge.Node;
        Left.Add(before);
        if (child is null)
        {
            Unlink(edge);
            _undo.Add(() =>
            {
                before.AddParent(edge);
                node.AddChild(edge);
            });
            return;
        }

        BlockChild.Repoint(edge, child);
        _undo.Add(() => BlockChild.Repoint(edge, before));
    }

    private void Unlink(BlockChild edge)
    {
        edge.Node.RemoveParent(edge);
        node.RemoveChild(edge);
    }
}
