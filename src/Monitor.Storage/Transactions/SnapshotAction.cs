using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Jobs;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Transactions;

/// <summary>What the two snapshot actions have in common: an overlay is put on a node at the transaction's instant.</summary>
/// <remarks>
/// The node becomes the overlay's backing node and all its users move to the overlay, so from the instant on the node changes no more;
/// its bitmaps stay with it and stop there. Afterwards it is made read-only, which stores them.
/// </remarks>
/// <param name="jobs">All jobs; knows the graph.</param>
internal abstract class SnapshotAction(JobManager jobs) : TransactionStep
{
    private readonly HashSet<BlockChild> _moved = [];
    private BlockNode? _base;
    private BlockNode? _inactivated;
    private QmpException? _refusal;
    private BlockChild? _backing;

    public override bool NeedsInstant => true;

    /// <summary>All jobs.</summary>
    protected JobManager Jobs => jobs;

    /// <summary>The nodes.</summary>
    protected BlockGraph Graph => jobs.Graph;

    /// <summary>An overlay on an inactive node is inactive too, for an active one would use that node.</summary>
    public override async ValueTask CaptureAsync()
    {
        try
        {
            if (!FindNode().IsActive && FindOverlay() is { IsActive: true } overlay)
            {
                await BlockActivation.InactivateAsync(Graph, [overlay]);
                _inactivated = overlay;
            }
        }
        catch (QmpException e)
        {
            _refusal = e;
        }
    }

    public override async ValueTask UndoCaptureAsync()
    {
        if (_inactivated is { } overlay)
        {
            await BlockActivation.ActivateAsync(Graph, [overlay]);
        }
    }

    public override void Prepare()
    {
        if (_refusal is not null)
        {
            throw _refusal;
        }

        _base = FindNode();
        OperationBlockers.Check(jobs, _base);
        BlockNode overlay = FindOverlay();
        CheckOverlay(overlay);
        _moved.UnionWith(_base.Parents.Where(edge => !edge.StaysAtNode));
        _backing = Graph.AttachChild(overlay, _base, "backing", BlockChildRole.CopyOnWrite);
        try
        {
            Graph.MoveParents(_base, overlay, _moved.Contains);
        }
        catch
        {
            Detach();
            throw;
        }
    }

    public override void Abort()
    {
        Graph.MoveParents(FindOverlay(), _base!, _moved.Contains);
        Detach();
    }

    public override async ValueTask CleanAsync()
    {
        try
        {
            if (!_base!.Settings.ReadOnly)
            {
                await BlockThreads.RunAsync(_base.FlushAsync);
                await BlockReopen.SetReadOnlyAsync(Graph, _base, readOnly: true);
            }
        }
        catch (QmpException e)
        {
            DaemonLog.Warn("Storage", $"node {_base!.NodeName} stays writable below its overlay: {e.Message}");
        }
    }

    /// <summary>The node that gets an overlay.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    protected abstract BlockNode FindNode();

    /// <summary>The overlay.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    protected abstract BlockNode FindOverlay();

    private static void CheckOverlay(BlockNode overlay)
    {
        var used = BlockPermission.None;
        foreach (BlockChild edge in overlay.Parents)
        {
            used |= edge.Used;
        }

        string? refusal =
            (used & BlockPermission.ConsistentRead) != 0 ? "The overlay is already in use"
            : overlay.IsFilter ? "Filters cannot be used as overlays"
            : overlay.Backing is not null ? "The overlay already has a backing image"
            : !overlay.SupportsBacking ? "The overlay does not support backing images"
            : null;
        if (refusal is not null)
        {
            throw new QmpException(refusal);
        }
    }

    /// <summary>The base has its users or its owner again, so nothing is closed here and this completes at once.</summary>
    private void Detach() => _ = Graph.DetachAsync(_backing!).AsTask();
}
