using System.Numerics;
using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;
using Monitor.Block.Io;
using Monitor.Jobs.Filters;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Jobs;

/// <summary>Copies a disk, keeps the copy in step with its writes, and on completion puts the copy in the disk's place.</summary>
/// <remarks>
/// <para>The idea: a bitmap on the source records every write, and whatever is dirty in it is to be copied. Phase 1 makes dirty what
/// the sync mode asks for; phase 2 copies what is dirty, over and over. The first time nothing is dirty the job is ready.</para>
/// <para>Completion: copy on until nothing is dirty; close the doors, fold the log; a small rest is copied behind the closed doors, a
/// large one with the doors open again. Clean and flushed: the source's users move to the target, in the same drained section, so no
/// write is ever acknowledged by a node that is about to be left behind.</para>
/// <para>A cancel without force of a ready job ends the same way without moving anybody: the target holds what the source held then.</para>
/// </remarks>
public sealed class MirrorJob : BlockJob
{
    private const long MaximumGranularity = 64 << 20;

    /// <summary>Dirty bytes that are copied behind closed doors, so that a busy guest cannot put completion off for ever.</summary>
    private const long SmallRest = 4 << 20;

    private static readonly TimeSpan s_idleTime = TimeSpan.FromMilliseconds(100);

    private readonly MirrorOptions _options;
    private readonly MirrorTopNode _filter;
    private readonly BlockNode _source;
    private readonly BlockNode _target;
    private readonly BlockNode? _replaced;
    private readonly TaskCompletionSource _mustEnd = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private DirtyBitmap _dirty = null!;
    private BlockCopy _copy = null!;
    private bool _mustPivot;
    private bool _isFilterOut;

    private MirrorJob(JobManager manager, MirrorOptions options, MirrorTopNode filter, BlockNode? replaced)
        : base(manager, JobType.Mirror, options)
    {
        _options = options;
        _filter = filter;
        _source = options.Source;
        _target = options.Target;
        _replaced = replaced;
    }

    /// <inheritdoc/>
    protected override bool? IsActivelySynced =>
        _filter.Active is not null && Status is JobStatus.Ready or JobStatus.Standby && _copy.CountDirtyBytes() == 0;

    private BlockGraph Graph => Manager.Graph;

    /// <summary>Checks everything, puts the filter in and starts. A turn; the caller holds the graph, and keeps it until the return.</summary>
    /// <exception cref="QmpException">Something does not fit; the graph is as before.</exception>
    public static async ValueTask<MirrorJob> StartAsync(JobManager manager, MirrorOptions options)
    {
        BlockNode? replaced = Check(manager, options);
        var filter = new MirrorTopNode(JobFilter.Settings(options.FilterNodeName, options.Source)) { IsImplicit = options.FilterNodeName is null };
        using NodeNameReservation? name = options.FilterNodeName is { } given ? manager.Graph.Reserve(given) : null;
        MirrorJob job;
        using (await manager.Graph.DrainAsync(options.Source))
        {
            JobFilter.Insert(manager.Graph, filter, options.Source, "backing");
            try
            {
                job = new MirrorJob(manager, options, filter, replaced);
                job.Attach();
            }
            catch (QmpException)
            {
                manager.Graph.MoveParents(filter, options.Source);
                await JobFilter.CloseAsync(manager.Graph, filter);
                throw;
            }
        }

        job.Start();
        return job;
    }

    /// <inheritdoc/>
    protected override bool TryComplete()
    {
        if (_mustEnd.Task.IsCompleted)
        {
            return _mustPivot;
        }

        _mustPivot = true;
        _mustEnd.SetResult();
        return true;
    }

    /// <inheritdoc/>
    protected override void DoChange(BlockJobChangeOptions options)
    {
        MirrorCopyMode current = _filter.Active is null ? MirrorCopyMode.Background : MirrorCopyMode.WriteBlocking;
        MirrorCopyMode wanted = options.Mirror.CopyMode;
        if (wanted == current)
        {
            return;
        }

        if (wanted != MirrorCopyMode.WriteBlocking)
        {
            throw new QmpException($"Change to copy mode '{wanted.ToWire()}' is not implemented");
        }

        if (!_isFilterOut)
        {
            BeginActiveWrites();
        }
    }

    /// <inheritdoc/>
    protected override bool TryCancelSoftly()
    {
        if (Status is not (JobStatus.Ready or JobStatus.Standby))
        {
            return false;
        }

        _mustPivot = false;
        _mustEnd.TrySetResult();
        return true;
    }

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        if (_source.SizeBytes != _target.SizeBytes)
        {
            throw new QmpException("Source and target image have different sizes");
        }

        await FillAsync().ConfigureAwait(false);
        for (bool isReady = false; ; isReady = true)
        {
            await PausePointAsync().ConfigureAwait(false);
            await CopyDirtyAsync(_copy).ConfigureAwait(false);
            if (!isReady)
            {
                await EnterReadyAsync().ConfigureAwait(false);
            }
            else if (_mustEnd.Task.IsCompleted)
            {
                return;
            }

            using var idle = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            await Task.WhenAny(Task.Delay(s_idleTime, Manager.Time, idle.Token), _mustEnd.Task, Failure).ConfigureAwait(false);
            await idle.CancelAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask PrepareAsync()
    {
        bool isDone;
        do
        {
            await BlockThreads.RunAsync(CatchUpAsync);
            using GraphChange change = await Graph.ChangeAsync();
            using DrainedSection section = await Graph.DrainAsync(_replaced is null ? [_source, _target] : [_source, _target, _replaced]);
            if (IsCancelRequestedLate)
            {
                throw new OperationCanceledException();
            }

            isDone = await BlockThreads.RunAsync(FinishDrainedAsync);
            if (isDone)
            {
                LeaveSource();
            }
        }
        while (!isDone);
    }

    /// <inheritdoc/>
    protected override async ValueTask AbortAsync()
    {
        if (!_isFilterOut)
        {
            using GraphChange change = await Graph.ChangeAsync();
            using DrainedSection section = await Graph.DrainAsync(_source);
            _filter.Active = null;
            _mustPivot = false;
            LeaveSource();
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask CleanAsync()
    {
        _source.Bitmaps.Release(_dirty);
        await JobFilter.CloseAsync(Graph, _filter);
        await base.CleanAsync();
    }

    private static BlockNode? Check(JobManager manager, MirrorOptions options)
    {
        BlockNode source = options.Source;
        if (options.GranularityBytes != 0)
        {
            if (options.GranularityBytes is < NodeBitmaps.MinGranularity or > MaximumGranularity)
            {
                throw new QmpException("Parameter 'granularity' expects a value in range [512B, 64MB]");
            }

            if (!BitOperations.IsPow2(options.GranularityBytes))
            {
                throw new QmpException("Parameter 'granularity' expects a power of 2");
            }
        }

        manager.CheckNotInUse(source);
        manager.CheckNotInUse(options.Target);
        BlockNode? replaced = options.Replaces is { } name ? CheckReplaced(manager, source, name) : null;
        if (options.Sync is MirrorSyncMode.Incremental or MirrorSyncMode.Bitmap)
        {
            throw new QmpException($"Sync mode '{options.Sync.ToWire()}' not supported");
        }

        if (options.BufferSizeBytes < 0)
        {
            throw new QmpException("Invalid parameter 'buf-size'");
        }

        return source == options.Target ? throw new QmpException("Can't mirror node into itself") : replaced;
    }

    /// <summary>Only a node that shows the same bytes as the source may be replaced: the source, or what its filters show.</summary>
    private static BlockNode? CheckReplaced(JobManager manager, BlockNode source, string name)
    {
        BlockNode replaced = manager.Graph.Get(name);
        manager.CheckNotInUse(replaced);
        BlockNode node = source;
        while (node != replaced)
        {
            if (!node.IsFilter || node.FindChild(BlockChildRole.Filtered) is not { } child)
            {
                throw new QmpException(
                    $"Cannot replace '{name}' by a node mirrored from '{source.NodeName}', because it cannot be guaranteed that doing so " +
                    "would not lead to an abrupt change of visible data");
            }

            node = child.Node;
        }

        return replaced == source ? null : replaced;
    }

    /// <summary>In the drained section: takes the doors, begins to record.</summary>
    private void Attach()
    {
        try
        {
            Graph.AttachRoot(SourceDoor, _source, BlockPermission.ConsistentRead, BlockPermission.All, staysAtNode: true);
            Graph.AttachRoot(TargetDoor, _target, BlockPermission.Write, BlockPermission.WriteUnchanged, staysAtNode: true);
        }
        catch (QmpException)
        {
            JobManager.Detach(Graph.DetachRootAsync(SourceDoor).AsTask());
            Discard();
            throw;
        }

        BlockedNodes.AddRange([_source, _target, _filter]);
        uint granularity = _options.GranularityBytes > 0
            ? (uint)_options.GranularityBytes
            : NodeBitmaps.DefaultGranularity(_target.ClusterSizeBytes);
        _dirty = _source.Bitmaps.AddAnonymous(granularity);
        _copy = new BlockCopy(SourceDoor.Root!, TargetDoor.Root!, _dirty, Progress.Advance, _options.BufferSizeBytes)
        {
            ZeroFlags = _options.Unmap ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None,
        };
        if (_options.CopyMode == MirrorCopyMode.WriteBlocking)
        {
            BeginActiveWrites();
        }
    }

    /// <summary>From now on guest writes reach the target before they are acknowledged; those under way are recorded, as before.</summary>
    private void BeginActiveWrites() => _filter.Active = new ActiveMirror(TargetDoor, _dirty, _copy.InFlight, OnActiveWriteFailed);

    /// <summary>Phase 1: makes dirty what is to be copied once. Bits are only ever set here: writes are being recorded in them.</summary>
    private async ValueTask FillAsync()
    {
        if (_options.Sync == MirrorSyncMode.Top)
        {
            BlockNode? basis = _source.SkipFilters().Backing?.Node.SkipFilters();
            await ScanAsync(_copy, basis, (offset, status) => MarkIfAsync(status.IsAllocated, offset, status.Length)).ConfigureAwait(false);
        }
        else if (_options.Sync != MirrorSyncMode.None && _options.TargetIsZero)
        {
            await ScanAsync(_copy, null, (offset, status) => MarkIfAsync(!status.IsZero, offset, status.Length)).ConfigureAwait(false);
        }
        else
        {
            await MarkIfAsync(_options.Sync != MirrorSyncMode.None, 0, _source.SizeBytes).ConfigureAwait(false);
        }
    }

    private ValueTask MarkIfAsync(bool condition, long offset, long length) => condition ? _copy.MarkAsync(offset, length) : default;

    /// <summary>Data plane, doors open: little is left to do behind the closed ones.</summary>
    private async ValueTask CatchUpAsync()
    {
        await CopyDirtyAsync(_copy, mayPause: false).ConfigureAwait(false);
        await TryFlushTargetAsync().ConfigureAwait(false);
    }

    /// <summary>Data plane, doors closed: copies a small rest and flushes.</summary>
    /// <returns>Whether source and target are the same, durably; if not, there is more to do with the doors open.</returns>
    private async ValueTask<bool> FinishDrainedAsync()
    {
        if (_copy.CountDirtyBytes() > SmallRest)
        {
            return false;
        }

        while (_copy.TryTake(out RangeClaim? claim, out _))
        {
            CopyOutcome outcome = await _copy.CopyAsync(claim).ConfigureAwait(false);
            if (!outcome.Succeeded)
            {
                // Ignored: tried again with the doors open.
                await HandleErrorAsync(outcome).ConfigureAwait(false);
                return false;
            }
        }

        return await TryFlushTargetAsync().ConfigureAwait(false);
    }

    /// <summary>
    /// Moves the users off the filter and, if the target is to take over, on to it with all others that the source has: some may have come
    /// while it was mirrored. Doors are closed.
    /// </summary>
    private void LeaveSource()
    {
        Graph.MoveParents(_filter, _source);
        if (_mustPivot)
        {
            Graph.SetPermissions(TargetDoor, BlockPermission.None, BlockPermission.All);
            Graph.MoveParents(_replaced ?? _source, _target, edge => edge.Parent != _filter);
        }

        _filter.Active = null;
        _isFilterOut = true;
    }

    private void OnActiveWriteFailed(CopyOutcome outcome) => Manager.Loop.Post(() =>
    {
        if (!Failure.IsCompleted && ReportError(outcome) == BlockErrorAction.Report)
        {
            FailBody(outcome);
        }
    });
}
