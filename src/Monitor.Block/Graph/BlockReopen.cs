using Monitor.Block.Drivers;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Gives open nodes new options, all of them or none: read-only or not, caching, discards, another backing node or file.</summary>
/// <remarks>
/// <para>Queue: every named node and, below it, those opened in its definition (they take from it what their own options leave open).
/// Plan: what changes of each, in that order, for it decides what a client hears of several mistakes. Then, with the doors closed: what becomes read-only stores what it keeps in memory, what gets another file writes its tables to the one it has; settings and edges change in one turn, and the
/// permissions that follow are checked (this reopens files); what becomes writable prepares its image. If one of these refuses, the ones
/// before it are undone, last first, so the graph is as it was.</para>
/// <para>Example: <c>{"node-name": "q", "driver": "qcow2", "file": "f", "read-only": true}</c>. The bitmaps of q are stored and become
/// read-only, its tables are written back, q and (if it was opened inside q's definition) f turn read-only, f's descriptor is swapped.</para>
/// </remarks>
public sealed class BlockReopen
{
    private readonly BlockGraph _graph;
    private readonly List<NodeReopen> _nodes = [];

    private BlockReopen(BlockGraph graph) => _graph = graph;

    /// <summary>Gives nodes the options of a client. A turn that resumes as turns; a <see cref="GraphChange"/> is held.</summary>
    /// <exception cref="QmpException">Something cannot be changed; everything is as before.</exception>
    public static Task RunAsync(BlockGraph graph, IReadOnlyList<BlockdevOptions> options)
    {
        var reopen = new BlockReopen(graph);
        foreach (BlockdevOptions option in options)
        {
            BlockNode node = graph.Get(option.NodeName ?? throw new QmpException("node-name not specified"));
            reopen.Queue(new NodeReopen(node, option) { IsNamed = true, IsGiven = true }, option);
        }

        reopen._nodes.ForEach(reopen.Plan);
        return reopen.RunAsync();
    }

    /// <summary>Makes one node, and what was opened in its definition, read-only or writable. As <see cref="RunAsync(BlockGraph, IReadOnlyList{BlockdevOptions})"/>.</summary>
    /// <exception cref="QmpException">A user of the node or the medium forbids it; everything is as before.</exception>
    public static Task SetReadOnlyAsync(BlockGraph graph, BlockNode node, bool readOnly) =>
        ChangeSettingsAsync(graph, node, node.Settings with { ReadOnly = readOnly });

    /// <summary>Gives a node other settings, and what was opened in its definition those that follow from them. As <see cref="RunAsync(BlockGraph, IReadOnlyList{BlockdevOptions})"/>.</summary>
    /// <exception cref="QmpException">A user of the node or the medium forbids it; everything is as before.</exception>
    public static Task ChangeSettingsAsync(BlockGraph graph, BlockNode node, BlockNodeSettings settings)
    {
        var reopen = new BlockReopen(graph);
        reopen.Queue(new NodeReopen(node, node.Definition) { Settings = settings }, null);
        reopen._nodes.ForEach(reopen.Plan);
        return reopen.RunAsync();
    }

    /// <summary>Takes up a node, and the nodes below it that were opened in its definition, with what the client says of them now.</summary>
    /// <param name="reopen">The node.</param>
    /// <param name="given">Its options, if the client gave them.</param>
    private void Queue(NodeReopen reopen, BlockdevOptions? given)
    {
        int place = _nodes.FindIndex(planned => planned.Node == reopen.Node);
        if (place < 0)
        {
            _nodes.Add(reopen);
        }
        else
        {
            _nodes[place] = reopen;
        }

        foreach (BlockChild edge in reopen.Node.Children)
        {
            BlockNode child = edge.Node;
            if (child.InheritsFrom != reopen.Node || child.Definition is null)
            {
                continue;
            }

            (BlockdevOptions? definition, string? reference, bool isGiven) = given is null ? default : Child(given, edge.Name);
            if (!isGiven || definition is not null || reference == child.NodeName)
            {
                Queue(new NodeReopen(child, definition ?? Find(child)?.Options ?? child.Definition) { IsGiven = definition is not null }, definition);
            }
        }
    }

    /// <summary>What options say of a child.</summary>
    private static (BlockdevOptions? Definition, string? Reference, bool IsGiven) Child(BlockdevOptions options, string name)
    {
        IBlockDriver driver = BlockDriverTable.Get(options.Driver);
        if (name == "backing")
        {
            BlockdevRefOrNull? backing = driver.Backing(options);
            return (backing?.Definition, backing?.Reference, backing is not null);
        }

        BlockdevRef? child = name == BlockNode.DataFileChild
            ? driver.DataFile(options)
            : driver.Children(options).FirstOrDefault(spec => spec.Name == name).Reference;
        return (child?.Definition, child?.Reference, child is not null);
    }

    /// <summary>Works out the new settings and edges of a node, and refuses what cannot change.</summary>
    private void Plan(NodeReopen reopen)
    {
        BlockNode node = reopen.Node;
        if (reopen.Options is not { } options)
        {
            return;
        }

        if (node.Definition is not { } before || before.Driver != options.Driver)
        {
            throw new QmpException("Cannot change the option 'driver'");
        }

        IBlockDriver driver = BlockDriverTable.Get(options.Driver);
        bool isGiven = reopen.Settings is null;
        Settle(reopen);
        CheckSupported(driver, node);
        if (isGiven)
        {
            CheckResetOfForceShare(node, options);
        }

        if (options != before)
        {
            driver.CheckReopen(before, options);
            PlanChildren(reopen, driver, options);
        }

        if (isGiven && options.ForceShare is not null)
        {
            throw new QmpException("Cannot change the option 'force-share'");
        }
    }

    private void PlanChildren(NodeReopen reopen, IBlockDriver driver, BlockdevOptions options)
    {
        BlockNode node = reopen.Node;
        if (node.SupportsBacking)
        {
            PlanBacking(reopen, driver.Backing(options));
        }

        foreach (BlockChildSpec spec in driver.Children(options))
        {
            PlanChild(reopen, node.Children.First(child => child.Name == spec.Name), spec.Name, spec.Reference.Definition, spec.Reference.Reference);
        }
    }

    /// <summary>Options that say anything of force-share stay with the node and what was opened in its definition: then they cannot be given anew.</summary>
    private static void CheckResetOfForceShare(BlockNode node, BlockdevOptions options)
    {
        for (BlockNode? above = options.ForceShare is null ? node : null; above is not null; above = above.InheritsFrom)
        {
            if (above.Definition?.ForceShare is not null)
            {
                throw new QmpException("Option 'force-share' cannot be reset to its default value");
            }
        }
    }

    private void PlanBacking(NodeReopen reopen, BlockdevRefOrNull? given)
    {
        BlockChild? edge = reopen.Node.Backing;
        if (given is null)
        {
            if (edge is not null || reopen.Node.BackingFromImage is not null)
            {
                throw new QmpException($"backing is missing for '{reopen.Node.NodeName}'");
            }
        }
        else if (given.Null is null)
        {
            PlanChild(reopen, edge, "backing", given.Definition, given.Reference);
        }
        else if (edge is not null)
        {
            CheckNotFrozen(reopen.Node, edge);
            reopen.Edges.Add((edge, null));
        }
    }

    /// <summary>A child is given by the name of a node, or by the definition it was opened with.</summary>
    private void PlanChild(NodeReopen reopen, BlockChild? edge, string name, BlockdevOptions? definition, string? reference)
    {
        BlockNode parent = reopen.Node;
        if (definition is not null)
        {
            if (edge?.Node.InheritsFrom != parent || (definition.NodeName is { } given && given != edge.Node.NodeName))
            {
                throw new QmpException($"Cannot change the option '{name}.driver'");
            }

            return;
        }

        if (name is not ("file" or "backing"))
        {
            _ = reference == edge?.Node.NodeName ? reference : throw new QmpException($"Cannot change the option '{name}'");
            return;
        }

        BlockNode child = _graph.Lookup("", reference);
        if (child == edge?.Node)
        {
            return;
        }

        if (BlockGraph.Reaches(child, parent))
        {
            throw new QmpException($"Making '{child.NodeName}' a {name} child of '{parent.NodeName}' would create a cycle");
        }

        BlockGraph.CheckActivity(parent, name, child);
        if (edge is not null)
        {
            CheckNotFrozen(parent, edge);
        }

        reopen.Edges.Add((edge, child));
    }

    private static void CheckNotFrozen(BlockNode parent, BlockChild edge)
    {
        if (edge.IsFrozen)
        {
            throw new QmpException($"Cannot change frozen '{edge.Name}' link from '{parent.NodeName}' to '{edge.Node.NodeName}'");
        }
    }

    private BlockNodeSettings Settle(NodeReopen reopen)
    {
        if (reopen.Settings is { } settled)
        {
            return settled;
        }

        BlockNode node = reopen.Node;
        if (reopen.Options!.Active is { } active && active != node.IsActive)
        {
            throw new QmpException("Cannot change the option 'active'");
        }

        BlockNodeSettings settings = Inherited(reopen).Settle(reopen.Options, node.NodeName);
        settings.CheckDetectZeroes();
        return reopen.Settings = settings;
    }

    private BlockNodeInheritance Inherited(NodeReopen reopen)
    {
        BlockNode node = reopen.Node;
        if (reopen.IsNamed || node.InheritsFrom is not { } parent || node.Parents.FirstOrDefault(edge => edge.Parent == parent) is not { } edge)
        {
            return BlockNodeInheritance.Root with { DiscardUnmap = node.Settings.DiscardUnmap };
        }

        NodeReopen? planned = Find(parent);
        if (planned is { IsGiven: true, Options: { } given } && !reopen.IsGiven)
        {
            return Kept(node.Settings, given, (edge.Role & BlockChildRole.CopyOnWrite) != 0);
        }

        BlockNodeSettings above = planned is null ? parent.Settings : Settle(planned);
        return (edge.Role & BlockChildRole.CopyOnWrite) != 0 ? BlockNodeInheritance.Backing(above) : BlockNodeInheritance.Child(above);
    }

    /// <summary>What a node is left with whose parent gets these options.</summary>
    private static BlockNodeInheritance Kept(BlockNodeSettings now, BlockdevOptions above, bool isBacking) => new(
        isBacking || (above.ReadOnly ?? now.ReadOnly),
        !isBacking && (above.AutoReadOnly ?? now.AutoReadOnly),
        DiscardUnmap: true,
        above.Cache?.Direct ?? now.CacheDirect,
        above.Cache?.NoFlush ?? now.CacheNoFlush,
        now.ForceShare,
        now.BeginsInactive);

    private NodeReopen? Find(BlockNode node) => _nodes.Find(planned => planned.Node == node);

    private async Task RunAsync()
    {
        using (await _graph.DrainAsync([.. _nodes.Select(reopen => reopen.Node)]))
        {
            var undo = new Stack<Func<ValueTask>>();
            try
            {
                await ApplyAsync(undo);
            }
            catch (Exception e) when (e is QmpException or BlockIoException)
            {
                await UndoAsync(undo);
                throw e as QmpException ?? new QmpException(e.Message);
            }
        }

        foreach (NodeReopen reopen in _nodes)
        {
            foreach (BlockNode left in reopen.Left)
            {
                await _graph.ReleaseAsync(left);
            }
        }
    }

    private async Task ApplyAsync(Stack<Func<ValueTask>> undo)
    {
        foreach (NodeReopen reopen in _nodes)
        {
            if (reopen.BecomesReadOnly)
            {
                undo.Push(() => new ValueTask(BlockThreads.RunAsync(reopen.Node.StayWritableAsync)));
                await BlockThreads.RunAsync(reopen.Node.LeaveWritableAsync);
            }
        }

        foreach (NodeReopen reopen in _nodes)
        {
            if (reopen.ReplacesFile && !reopen.Node.IsReadOnly)
            {
                await BlockThreads.RunAsync(reopen.Node.LeaveFileAsync);
            }
        }

        undo.Push(() =>
        {
            Revert();
            return default;
        });
        Edit();
        foreach (NodeReopen reopen in _nodes)
        {
            await BlockThreads.RunAsync(reopen.Node.OnReopenedAsync);
        }

        foreach (NodeReopen reopen in _nodes)
        {
            if (reopen.BecomesWritable)
            {
                await BlockThreads.RunAsync(reopen.Node.EnterWritableAsync);
                undo.Push(() => new ValueTask(BlockThreads.RunAsync(reopen.Node.LeaveWritableAsync)));
            }
        }

        foreach (NodeReopen reopen in _nodes)
        {
            reopen.Conclude();
        }
    }

    private static void CheckSupported(IBlockDriver driver, BlockNode node)
    {
        if (!driver.SupportsReopen)
        {
            throw new QmpException($"Block format '{node.DriverName}' used by node '{node.NodeName}' does not support reopening files");
        }
    }

    private static async Task UndoAsync(Stack<Func<ValueTask>> undo)
    {
        while (undo.TryPop(out Func<ValueTask>? step))
        {
            try
            {
                await step();
            }
            catch (Exception e) when (e is QmpException or BlockIoException)
            {
                DaemonLog.Error("Block", $"a reopen that failed could not be undone wholly: {e.Message}");
            }
        }
    }

    /// <summary>Changes settings, edges and permissions, in one turn.</summary>
    private void Edit()
    {
        foreach (NodeReopen reopen in _nodes)
        {
            reopen.Apply();
        }

        PermissionUpdate.Run([.. Touched()]);
        foreach (NodeReopen reopen in _nodes)
        {
            reopen.Node.Reconfigure(reopen.Options);
        }
    }

    private void Revert()
    {
        for (int i = _nodes.Count - 1; i >= 0; i--)
        {
            _nodes[i].Revert();
        }

        PermissionUpdate.Run([.. Touched()]);
    }

    private HashSet<BlockNode> Touched()
    {
        var touched = new HashSet<BlockNode>();
        foreach (NodeReopen reopen in _nodes)
        {
            touched.Add(reopen.Node);
            foreach (var (edge, child) in reopen.Edges)
            {
                touched.UnionWith(edge is null ? [] : [edge.Node]);
                touched.UnionWith(child is null ? [] : [child]);
                touched.UnionWith(reopen.Left);
            }
        }

        return touched;
    }
}
