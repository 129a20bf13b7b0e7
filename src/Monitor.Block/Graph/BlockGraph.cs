using System.Diagnostics;
using Monitor.Block.Io;
using Monitor.Block.Throttling;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>All nodes by node-name; alone adds, removes and re-parents them. Its methods are turns of <see cref="Loop"/>.</summary>
/// <remarks>
/// Who changes the graph holds a <see cref="GraphChange"/> from the last check to the edit. Edges below a node that serves I/O
/// change only while that node is drained. A failed edit leaves the graph exactly as it was.
/// </remarks>
public sealed partial class BlockGraph
{
    private readonly Dictionary<string, BlockNode> _nodes = [];
    private readonly List<BlockNode> _order = [];
    private readonly HashSet<string> _reserved = [];

    /// <summary>Nodes that are out of the graph and not yet closed: their files are still locked.</summary>
    private readonly Dictionary<BlockNode, Task> _closing = [];
    private readonly GraphGate _gate = new();

    /// <summary>Makes an empty graph.</summary>
    /// <param name="loop">Whose turns own the graph.</param>
    /// <param name="events">Where the block layer's events go.</param>
    /// <param name="time">The clock of what waits below; the system's if not given.</param>
    public BlockGraph(MonitorLoop loop, IEventSink events, TimeProvider? time = null)
    {
        Loop = loop;
        Events = events;
        Time = time ?? TimeProvider.System;
        ThrottleGroups = new ThrottleGroups(Time);
    }

    /// <summary>Whose turns own the graph.</summary>
    public MonitorLoop Loop { get; }

    /// <summary>Where the block layer's events go.</summary>
    public IEventSink Events { get; }

    /// <summary>The clock of what waits below.</summary>
    public TimeProvider Time { get; }

    /// <summary>The limits that nodes and drives share, by name.</summary>
    public ThrottleGroups ThrottleGroups { get; }

    /// <summary>All nodes in the order they were added.</summary>
    public IReadOnlyList<BlockNode> Nodes => _order;

    /// <summary>The node of that name, or <see langword="null"/>.</summary>
    public BlockNode? Find(string nodeName) => _nodes.GetValueOrDefault(nodeName);

    /// <summary>The node of that name.</summary>
    /// <exception cref="QmpException">There is none; the text for commands that take <c>node-name</c>.</exception>
    public BlockNode Get(string nodeName) =>
        Find(nodeName) ?? throw new QmpException($"Failed to find node with node-name='{nodeName}'");

    /// <summary>The node of that name.</summary>
    /// <exception cref="QmpException">There is none; the text for commands that take <c>device</c> or <c>node</c> alike.</exception>
    public BlockNode GetDeviceOrNode(string name) => Lookup(name, name);

    /// <summary>The node of that name, on which no other node stands.</summary>
    /// <exception cref="QmpException">There is none, or one does.</exception>
    public BlockNode GetRoot(string name)
    {
        BlockNode node = GetDeviceOrNode(name);
        return node.Parents.Any(edge => edge.Parent is BlockNode) ? throw new QmpException("Need a root block node") : node;
    }

    /// <summary>The node that a command means which takes a drive's name and a node's name.</summary>
    /// <param name="device">The drive's name, if any.</param>
    /// <param name="nodeName">The node's name, if any.</param>
    /// <exception cref="QmpException">There is neither, or the drive has no medium.</exception>
    public BlockNode Lookup(string? device, string? nodeName)
    {
        if (device is not null && FindDrive(device) is { HasMedium: false })
        {
            throw new QmpException($"Device '{device}' has no medium");
        }

        return TryLookup(device, nodeName) ?? throw new QmpException($"Cannot find device='{device}' nor node-name='{nodeName}'");
    }

    /// <summary>As <see cref="Lookup"/>; <see langword="null"/> when there is none.</summary>
    public BlockNode? TryLookup(string? device, string? nodeName) =>
        device is not null && FindDrive(device) is { HasMedium: true } drive ? drive.Node
        : nodeName is null ? null
        : Find(nodeName);

    /// <summary>Refuses an inactive node for something that would write to its image.</summary>
    /// <exception cref="QmpException">It is inactive.</exception>
    public static void CheckActive(BlockNode node)
    {
        if (!node.IsActive)
        {
            throw new QmpException("Permission 'write' unavailable on inactive node");
        }
    }

    /// <summary>Refuses an inactive node below an active one, which would use it.</summary>
    /// <exception cref="QmpException">It is inactive, and the parent is not.</exception>
    internal static void CheckActivity(BlockNode parent, string name, BlockNode child)
    {
        if (parent.IsActive && !child.IsActive)
        {
            throw new QmpException($"Inactive '{child.NodeName}' can't be a {name} child of active '{parent.NodeName}'");
        }
    }

    /// <summary>Waits for the right to change the graph; first come, first served.</summary>
    public ValueTask<GraphChange> ChangeAsync() => _gate.EnterAsync();

    /// <summary>Keeps a name for a node that is being opened.</summary>
    /// <exception cref="QmpException">The name is malformed or taken.</exception>
    public NodeNameReservation Reserve(string nodeName)
    {
        AssertTurn();
        NodeName.Check(nodeName);
        if (_drives.ContainsKey(nodeName))
        {
            throw new QmpException($"node-name={nodeName} is conflicting with a device id");
        }

        if (_nodes.ContainsKey(nodeName) || !_reserved.Add(nodeName))
        {
            throw new QmpException($"Duplicate nodes with node-name='{nodeName}'");
        }

        return new NodeNameReservation(this, nodeName);
    }

    /// <summary>Keeps a generated name, which no client can have given, for a node that is being opened.</summary>
    public NodeNameReservation ReserveGenerated(string nodeName)
    {
        AssertTurn();
        _reserved.Add(nodeName);
        return new NodeNameReservation(this, nodeName);
    }

    /// <summary>Puts an opened node into the graph; its name was reserved or generated.</summary>
    public void Add(BlockNode node)
    {
        AssertTurn();
        _nodes.Add(node.NodeName, node);
        _order.Add(node);
        DaemonLog.Info("Block", $"node {node.NodeName} ({node.DriverName}) added");
    }

    /// <summary>Gives a backend its node.</summary>
    /// <param name="backend">The door; has no node yet.</param>
    /// <param name="node">The node.</param>
    /// <param name="used">What the backend's owner does with the node.</param>
    /// <param name="shared">What it lets others do.</param>
    /// <param name="staysAtNode">Whether the edge stays when a filter is put above the node.</param>
    /// <exception cref="QmpException">A permission conflict; nothing was changed.</exception>
    public void AttachRoot(BlockBackend backend, BlockNode node, BlockPermission used, BlockPermission shared, bool staysAtNode = false)
    {
        Debug.Assert(backend.Root is null, "a backend has one node");
        (used, shared) = backend.Want(node, used, shared);
        backend.Root = Attach(backend, node, "root", BlockChildRole.None, used, shared, staysAtNode);
    }

    /// <summary>Takes a backend's node away; it is closed if nobody else wants it.</summary>
    /// <returns>Completes when a node that was let go of has been closed.</returns>
    public async ValueTask DetachRootAsync(BlockBackend backend)
    {
        AssertTurn();
        if (backend.Root is not { } root)
        {
            return;
        }

        await backend.WaitOpenAsync();
        backend.Root = null;
        await DetachAsync(root);
    }

    /// <summary>Asks a node anew what it needs of its children and lets others do with them. A turn.</summary>
    /// <exception cref="QmpException">A conflict; nothing was changed.</exception>
    public void RefreshPermissions(BlockNode node)
    {
        AssertTurn();
        PermissionUpdate.Run(node);
    }

    /// <summary>Changes what a backend uses and shares.</summary>
    /// <exception cref="QmpException">A permission conflict; nothing was changed.</exception>
    public void SetPermissions(BlockBackend backend, BlockPermission used, BlockPermission shared)
    {
        AssertTurn();
        BlockChild root = backend.Root!;
        (BlockPermission, BlockPermission) before = (root.Used, root.Shared);
        (root.Used, root.Shared) = backend.Want(root.Node, used, shared);
        try
        {
            PermissionUpdate.Run(root.Node);
        }
        catch
        {
            (root.Used, root.Shared) = before;
            throw;
        }
    }

    /// <summary>Puts an edge from <paramref name="parent"/> to <paramref name="child"/>.</summary>
    /// <exception cref="QmpException">A permission conflict or a cycle; nothing was changed.</exception>
    public BlockChild AttachChild(BlockNode parent, BlockNode child, string name, BlockChildRole role)
    {
        if (Reaches(child, parent))
        {
            throw new QmpException($"Making '{child.NodeName}' a {name} child of '{parent.NodeName}' would create a cycle");
        }

        CheckActivity(parent, name, child);
        return Attach(parent, child, name, role, BlockPermission.None, BlockPermission.All, staysAtNode: false);
    }

    /// <summary>Takes an edge away; the node below is closed if nobody else wants it.</summary>
    /// <returns>Completes when a node that was let go of has been closed.</returns>
    public ValueTask DetachAsync(BlockChild edge)
    {
        AssertTurn();
        Unlink(edge);
        PermissionUpdate.Run(edge.Node);
        return ReleaseAsync(edge.Node);
    }

    /// <summary>Moves the edges of <paramref name="from"/>'s parents to <paramref name="to"/> (pivot, snapshot, filter in or out). Both are drained.</summary>
    /// <param name="from">The node that loses its parents.</param>
    /// <param name="to">The node that gets them.</param>
    /// <param name="moves">Which edges move; edges that stay at their node, and those of <paramref name="to"/> and the nodes below it, never do: there would be a cycle.</param>
    /// <exception cref="QmpException">A permission conflict; nothing was changed.</exception>
    public void MoveParents(BlockNode from, BlockNode to, Func<BlockChild, bool>? moves = null)
    {
        AssertTurn();
        List<BlockChild> moved = [.. from.Parents.Where(e => !e.StaysAtNode && !(e.Parent is BlockNode parent && Reaches(to, parent)) && (moves?.Invoke(e) ?? true))];
        if (moved.Find(edge => edge.IsFrozen) is { } frozen)
        {
            throw new QmpException($"Cannot change '{frozen.Name}' link to '{from.NodeName}'");
        }

        foreach (BlockChild edge in moved)
        {
            if (edge.Parent is BlockNode parent)
            {
                CheckActivity(parent, edge.Name, to);
            }
        }

        // Newest first, as in QEMU: the order of the users decides which of several conflicts is named.
        moved.Reverse();
        Repoint(moved, to);
        try
        {
            PermissionUpdate.Run(from, to);
        }
        catch
        {
            moved.Reverse();
            Repoint(moved, from);
            throw;
        }

        DaemonLog.Info("Block", $"{moved.Count} users of node {from.NodeName} now use {to.NodeName}");
    }

    /// <summary>Replaces the node below an edge, keeping name and role. The parent is drained.</summary>
    /// <returns>Completes when a node that was let go of has been closed.</returns>
    /// <exception cref="QmpException">A permission conflict; nothing was changed.</exception>
    public ValueTask ReplaceChildAsync(BlockChild edge, BlockNode to)
    {
        AssertTurn();
        BlockNode from = edge.Node;
        BlockChild.Repoint(edge, to);
        try
        {
            PermissionUpdate.Run(edge.Parent is BlockNode parent ? [parent, from, to] : [from, to]);
        }
        catch
        {
            BlockChild.Repoint(edge, from);
            throw;
        }

        return ReleaseAsync(from);
    }

    /// <summary>Closes a node that nobody uses: no parent, not the client's and not a job's. Its children follow.</summary>
    /// <returns>Completes when all of them have been closed, also if somebody else has begun it.</returns>
    public ValueTask ReleaseAsync(BlockNode node)
    {
        AssertTurn();
        if (_closing.TryGetValue(node, out Task? closing))
        {
            return new ValueTask(closing);
        }

        if (node.IsMonitorOwned || node.IsJobOwned || node.Parents.Count > 0 || !_nodes.Remove(node.NodeName))
        {
            return default;
        }

        _order.Remove(node);
        closing = CloseAsync(node);
        if (!closing.IsCompleted)
        {
            _closing.Add(node, closing);
        }

        return new ValueTask(closing);
    }

    /// <summary>Ends the client's hold on a node; it is closed if nobody else wants it.</summary>
    /// <returns>Completes when a node that was let go of has been closed.</returns>
    public ValueTask DisownAsync(BlockNode node)
    {
        AssertTurn();
        node.IsMonitorOwned = false;
        return ReleaseAsync(node);
    }

    /// <summary>Closes every node, users before what they use. No backend has a node any more.</summary>
    public async ValueTask CloseAllAsync()
    {
        while (_order.Find(node => node.Parents.Count == 0) is { } top)
        {
            await DisownAsync(top);
        }
    }

    /// <summary>Takes away all children of a node that is closed or was never opened.</summary>
    public async ValueTask ReleaseChildrenAsync(BlockNode node)
    {
        BlockChild[] children = [.. node.Children];
        foreach (BlockChild child in children)
        {
            await DetachAsync(child);
        }
    }

    /// <summary>Closes the doors above the given nodes and waits until nothing is inside. Hold a <see cref="GraphChange"/>.</summary>
    public ValueTask<DrainedSection> DrainAsync(params IReadOnlyCollection<BlockNode> nodes)
    {
        AssertTurn();
        var seen = new HashSet<BlockNode>();
        var doors = new List<BlockBackend>();
        foreach (BlockNode node in nodes)
        {
            CollectDoors(node, seen, doors);
        }

        var below = new HashSet<BlockNode>();
        foreach (BlockBackend door in doors)
        {
            CollectBelow(door.Node, below);
        }

        return DrainedSection.BeginAsync(doors, below);
    }

    /// <summary>Ends what requests wait for below a node of its own accord: a lost server, their turn under limits. A turn.</summary>
    public static void EndWaits(BlockNode top)
    {
        var below = new HashSet<BlockNode>();
        CollectBelow(top, below);
        foreach (BlockNode node in below)
        {
            node.OnDrainBegun();
            node.OnDrainEnded();
        }
    }

    /// <summary>Whether <paramref name="target"/> is <paramref name="from"/> or below it.</summary>
    public static bool Reaches(BlockNode from, BlockNode target)
    {
        if (from == target)
        {
            return true;
        }

        foreach (BlockChild child in from.Children)
        {
            if (Reaches(child.Node, target))
            {
                return true;
            }
        }

        return false;
    }

    internal void ReleaseName(string nodeName)
    {
        AssertTurn();
        _reserved.Remove(nodeName);
    }

    private async Task CloseAsync(BlockNode node)
    {
        try
        {
            _reserved.Add(node.NodeName);
            node.OnReleased();
            await BlockThreads.RunAsync(node.CloseAsync);
            _reserved.Remove(node.NodeName);
            DaemonLog.Info("Block", $"node {node.NodeName} removed");
            await ReleaseChildrenAsync(node);
        }
        finally
        {
            _closing.Remove(node);
        }
    }

    private static void CollectDoors(BlockNode node, HashSet<BlockNode> seen, List<BlockBackend> doors)
    {
        if (!seen.Add(node))
        {
            return;
        }

        foreach (BlockChild edge in node.Parents)
        {
            if (edge.Parent is BlockNode parent)
            {
                CollectDoors(parent, seen, doors);
            }
            else if (edge.Parent is BlockBackend door && !doors.Contains(door))
            {
                doors.Add(door);
            }
        }
    }

    private static void CollectBelow(BlockNode node, HashSet<BlockNode> below)
    {
        if (below.Add(node))
        {
            foreach (BlockChild child in node.Children)
            {
                CollectBelow(child.Node, below);
            }
        }
    }

    private static void Repoint(List<BlockChild> edges, BlockNode to)
    {
        foreach (BlockChild edge in edges)
        {
            BlockChild.Repoint(edge, to);
        }
    }

    private static void Unlink(BlockChild edge)
    {
        edge.Node.RemoveParent(edge);
        if (edge.Parent is BlockNode parent)
        {
            parent.RemoveChild(edge);
        }
    }

    private BlockChild Attach(
        IBlockParent parent, BlockNode node, string name, BlockChildRole role, BlockPermission used, BlockPermission shared, bool staysAtNode)
    {
        AssertTurn();
        var edge = new BlockChild(parent, node, name, role) { Used = used, Shared = shared, StaysAtNode = staysAtNode };
        node.AddParent(edge);
        if (parent is BlockNode above)
        {
            above.AddChild(edge);
        }

        try
        {
            PermissionUpdate.Run(parent is BlockNode top ? top : node);
        }
        catch
        {
            Unlink(edge);
            throw;
        }

        return edge;
    }

    [Conditional("DEBUG")]
    private void AssertTurn() => Debug.Assert(Loop.InTurn, "the graph belongs to the loop's turns");
}
