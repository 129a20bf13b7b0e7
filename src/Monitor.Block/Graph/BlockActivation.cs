using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Hands nodes over to another process and takes them back (QAPI <c>blockdev-set-active</c>, of QEMU 10.0), all of them or none.</summary>
/// <remarks>
/// <para>An inactive node only reads, holds no lock that keeps others out and relies on nothing it has read. Handing over: behind closed
/// doors every image is stored and synced, its bitmaps too; then, in one turn, the nodes are inactive, their users' permissions rest,
/// the locks are gone and the stored bitmaps are dropped from memory. Taking back: permissions and locks first, for from then on
/// nobody else changes the image; then every node reads its medium anew, children before parents, and loads the bitmaps. Bitmaps that
/// live in memory alone have seen nothing of what another process wrote: those that record are wholly dirty afterwards.</para>
/// <para>Example: qcow2 <c>q</c> on file <c>f</c>, exported with <c>allow-inactive</c>. Inactivating q stores its tables and bitmaps and marks
/// them not in use, then q and f are inactive and the export's clients may only read. f alone cannot be inactivated before q.</para>
/// </remarks>
public static class BlockActivation
{
    /// <summary>Hands nodes over, with all nodes below that no active node uses. A turn that resumes as turns; a <see cref="GraphChange"/> is held.</summary>
    /// <param name="graph">The nodes' graph.</param>
    /// <param name="tops">The nodes; those with an active parent that stays are left out.</param>
    /// <exception cref="QmpException">Somebody writes to one, one of the bitmaps is busy, or storing failed; everything is as before.</exception>
    public static async Task InactivateAsync(BlockGraph graph, IEnumerable<BlockNode> tops)
    {
        var nodes = new List<BlockNode>();
        foreach (BlockNode top in tops)
        {
            CollectParentsFirst(top, nodes);
        }

        nodes.ForEach(CheckNotNeeded);
        using DrainedSection section = await graph.DrainAsync(nodes);
        var left = new Stack<BlockNode>();
        try
        {
            foreach (BlockNode node in nodes)
            {
                left.Push(node);
                await BlockThreads.RunAsync(() => LeaveAsync(node));
            }

            Switch(nodes, active: false);
        }
        catch (Exception e) when (e is BlockIoException or QmpException)
        {
            foreach (BlockNode node in left)
            {
                await BlockThreads.RunAsync(() => StayAsync(node));
            }

            throw e as QmpException ?? new QmpException(e.Message);
        }

        foreach (BlockNode node in nodes)
        {
            node.OnInactivated();
            DaemonLog.Info("Block", $"node {node.NodeName} is inactive");
        }
    }

    /// <summary>Takes nodes back, with all nodes below. A turn that resumes as turns; a <see cref="GraphChange"/> is held.</summary>
    /// <param name="graph">The nodes' graph.</param>
    /// <param name="tops">The nodes; active ones stay as they are.</param>
    /// <exception cref="QmpException">Another process has an image locked, or an image cannot be used; everything is as before.</exception>
    public static async Task ActivateAsync(BlockGraph graph, IEnumerable<BlockNode> tops)
    {
        var nodes = new List<BlockNode>();
        foreach (BlockNode top in tops)
        {
            CollectChildrenFirst(top, nodes);
        }

        using DrainedSection section = await graph.DrainAsync(nodes);
        Switch(nodes, active: true);
        var entered = new Stack<BlockNode>();
        try
        {
            foreach (BlockNode node in nodes)
            {
                await BlockThreads.RunAsync(node.EnterActiveAsync);
                entered.Push(node);
                DaemonLog.Info("Block", $"node {node.NodeName} is active");
            }
        }
        catch (Exception e) when (e is BlockIoException or QmpException)
        {
            await TakeBackAsync(nodes, entered);
            throw e as QmpException ?? new QmpException(e.Message);
        }
    }

    private static void CollectParentsFirst(BlockNode node, List<BlockNode> nodes)
    {
        if (!node.IsActive || nodes.Contains(node) || node.Parents.Any(edge => edge.Parent is BlockNode { IsActive: true } parent && !nodes.Contains(parent)))
        {
            return;
        }

        nodes.Add(node);
        foreach (BlockChild child in node.Children)
        {
            CollectParentsFirst(child.Node, nodes);
        }
    }

    private static void CollectChildrenFirst(BlockNode node, List<BlockNode> nodes)
    {
        foreach (BlockChild child in node.Children)
        {
            CollectChildrenFirst(child.Node, nodes);
        }

        if (!node.IsActive && !nodes.Contains(node))
        {
            nodes.Add(node);
        }
    }

    private static void CheckNotNeeded(BlockNode node)
    {
        if (node.Parents.Any(edge => edge.Parent is BlockBackend user && !user.MayLose(edge.Used)))
        {
            throw new QmpException(Errno.Describe(Errno.EPERM));
        }

        // Its bits go into the image and out of memory: who uses it would hold something that is no more.
        node.Bitmaps.CheckPersistentUnused();
    }

    private static async ValueTask LeaveAsync(BlockNode node)
    {
        if (!node.IsReadOnly)
        {
            await node.LeaveWritableAsync().ConfigureAwait(false);
            await node.FlushAsync().ConfigureAwait(false);
        }
    }

    private static ValueTask StayAsync(BlockNode node) => node.IsReadOnly ? default : node.StayWritableAsync();

    /// <summary>Makes nodes active or inactive, with the permissions that follow.</summary>
    /// <exception cref="QmpException">A user or another process is in the way; nothing was changed.</exception>
    private static void Switch(List<BlockNode> nodes, bool active)
    {
        SetActive(nodes, active);
        try
        {
            PermissionUpdate.Run([.. nodes]);
        }
        catch
        {
            SetActive(nodes, !active);
            throw;
        }
    }

    private static void SetActive(List<BlockNode> nodes, bool active)
    {
        foreach (BlockNode node in nodes)
        {
            node.IsActive = active;
            foreach (BlockChild edge in node.Parents)
            {
                (edge.Parent as BlockBackend)?.FollowNode();
            }
        }
    }

    /// <summary>Makes nodes inactive again that could not all be taken back.</summary>
    private static async Task TakeBackAsync(List<BlockNode> nodes, Stack<BlockNode> entered)
    {
        foreach (BlockNode node in entered)
        {
            try
            {
                await BlockThreads.RunAsync(() => LeaveAsync(node));
            }
            catch (BlockIoException e)
            {
                DaemonLog.Error("Block", $"node {node.NodeName}: its bitmaps stay marked in use: {e.Message}");
            }
        }

        Switch(nodes, active: false);
        nodes.ForEach(node => node.OnInactivated());
    }
}
