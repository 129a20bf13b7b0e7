using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Works out the permissions that an edited graph asks for, refuses conflicts, and only then tells the nodes.</summary>
/// <remarks>
/// The idea: permissions flow down. A node's edges to its children follow from what its own parents together use and share. So the
/// update starts at the edited nodes and walks down, parents before children, collecting new values beside the old ones; if any node
/// refuses, nothing was changed and the edit is undone by its caller. An inactive node only reads its children and shares everything.
/// </remarks>
internal sealed class PermissionUpdate
{
    private readonly Dictionary<BlockChild, (BlockPermission Used, BlockPermission Shared)> _edges = [];
    private readonly List<(BlockNode Node, BlockPermission Used, BlockPermission Shared)> _checked = [];

    /// <summary>Applies what follows from the present edges for <paramref name="nodes"/> and all below them.</summary>
    /// <exception cref="QmpException">Two parents conflict, or a medium refuses; nothing was changed.</exception>
    public static void Run(params ReadOnlySpan<BlockNode> nodes)
    {
        var update = new PermissionUpdate();
        try
        {
            foreach (BlockNode node in ParentsFirst(nodes))
            {
                update.Visit(node);
            }
        }
        catch
        {
            foreach (var (node, _, _) in update._checked)
            {
                node.AbortPermissions();
            }

            throw;
        }

        update.Commit();
    }

    /// <summary>The nodes and all below them, every node after those of its parents that are in the set.</summary>
    private static List<BlockNode> ParentsFirst(ReadOnlySpan<BlockNode> nodes)
    {
        var seen = new HashSet<BlockNode>();
        var childrenFirst = new List<BlockNode>();
        foreach (BlockNode node in nodes)
        {
            Collect(node, seen, childrenFirst);
        }

        childrenFirst.Reverse();
        return childrenFirst;
    }

    private static void Collect(BlockNode node, HashSet<BlockNode> seen, List<BlockNode> childrenFirst)
    {
        if (!seen.Add(node))
        {
            return;
        }

        foreach (BlockChild child in node.Children)
        {
            Collect(child.Node, seen, childrenFirst);
        }

        childrenFirst.Add(node);
    }

    private static void CheckConflict(BlockNode node, BlockChild a, BlockPermission used, BlockChild b, BlockPermission shared)
    {
        BlockPermission conflict = used & ~shared;
        if (conflict != 0)
        {
            throw new QmpException(
                $"Permission conflict on node '{node.NodeName}': permissions '{conflict.Describe()}' are both required by {a.Parent.Description} " +
                $"(uses node '{node.NodeName}' as '{a.Name}' child) and unshared by {b.Parent.Description} " +
                $"(uses node '{node.NodeName}' as '{b.Name}' child).");
        }
    }

    private void Visit(BlockNode node)
    {
        var used = BlockPermission.None;
        var shared = BlockPermission.All;
        // Newest first, as in QEMU: it decides which of several conflicts is named.
        for (int i = node.Parents.Count - 1; i >= 0; i--)
        {
            BlockChild edge = node.Parents[i];
            (BlockPermission edgeUsed, BlockPermission edgeShared) = Of(edge);
            for (int j = node.Parents.Count - 1; j >= 0; j--)
            {
                BlockChild other = node.Parents[j];
                if (other != edge)
                {
                    CheckConflict(node, other, Of(other).Used, edge, edgeShared);
                }
            }

            used |= edgeUsed;
            shared &= edgeShared;
        }

        node.CheckPermissions(used, shared);
        _checked.Add((node, used, shared));
        foreach (BlockChild child in node.Children)
        {
            (BlockPermission childUsed, BlockPermission childShared) = node.ChildPermissions(child, used, shared);
            BlockPermission sharedOutside = !node.IsActive || child.Node.Settings.ForceShare ? BlockPermission.All : childShared;
            _edges[child] = (node.IsActive ? childUsed : childUsed & BlockPermission.ConsistentRead, sharedOutside);
        }
    }

    private (BlockPermission Used, BlockPermission Shared) Of(BlockChild edge) =>
        _edges.TryGetValue(edge, out var planned) ? planned : (edge.Used, edge.Shared);

    private void Commit()
    {
        foreach (var (edge, (used, shared)) in _edges)
        {
            edge.Used = used;
            edge.Shared = shared;
        }

        foreach (var (node, used, shared) in _checked)
        {
            node.SetPermissions(used, shared);
        }
    }
}
