using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Io;
using Monitor.Jobs.Filters;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Jobs;

/// <summary>Copies a disk as it was at one instant, while its guest goes on writing.</summary>
/// <remarks>
/// <para>The idea: a bitmap of what is still to be copied, at a filter above the source. The job copies what is dirty; a guest write
/// to a dirty cluster first has the old bytes copied. So the target gets what the source held when the filter was put in.</para>
/// <para>Made in two steps, for transactions: <see cref="Prepare"/> (the instant: doors closed) and then <see cref="Job.Start"/> and
/// <see cref="Proceed"/>, or <see cref="Job.AbandonAsync"/>.</para>
/// </remarks>
public sealed class BackupJob : BlockJob
{
    private readonly BackupOptions _options;
    private readonly CopyBeforeWriteNode _filter;
    private readonly BackupBitmap? _bitmap;
    private DirtyBitmap _toCopy = null!;
    private BlockCopy _copy = null!;
    private Task? _closing;

    private BackupJob(JobManager manager, BackupOptions options, CopyBeforeWriteNode filter, BackupBitmap? bitmap)
        : base(manager, JobType.Backup, options)
    {
        _options = options;
        _filter = filter;
        _bitmap = bitmap;
    }

    private BlockGraph Graph => Manager.Graph;

    /// <summary>Checks everything, puts the filter in, freezes the bitmap: this is the backup's instant. The job is <c>created</c>.</summary>
    /// <remarks>A turn; the caller holds the graph and has drained the source, from before this call until after <see cref="Job.Start"/>
    /// or the call of <see cref="Job.AbandonAsync"/>.</remarks>
    /// <exception cref="QmpException">Something does not fit; everything is as before.</exception>
    public static BackupJob Prepare(JobManager manager, BackupOptions options)
    {
        BackupBitmap? bitmap = BackupBitmap.Check(options);
        int clusterSize = BlockCopy.ClusterSizeFor(options.Target, options.Perf?.MinClusterSize ?? 0);
        Check(manager, options, clusterSize);
        bitmap?.CheckChangeable();
        if (options.Source.SizeBytes != options.Target.SizeBytes)
        {
            throw new QmpException("Source and target image have different sizes");
        }

        using NodeNameReservation? name = options.FilterNodeName is { } given ? ReserveFilterName(manager.Graph, given) : null;
        if (options.Perf?.MaxChunk is > 0 and var chunk && chunk < clusterSize)
        {
            throw new QmpException($"Required max-chunk ({chunk}) is less than backup cluster size ({clusterSize})");
        }

        var filter = new CopyBeforeWriteNode(JobFilter.Settings(options.FilterNodeName, options.Source))
        {
            FailsGuestWrites = options.FailsGuestWrites,
            DiscardsSource = options.DiscardSource,
        };
        JobFilter.Insert(manager.Graph, filter, options.Source, "file", "Could not replace node: ", options.Target);
        try
        {
            var job = new BackupJob(manager, options, filter, bitmap);
            job.Attach((uint)clusterSize);
            return job;
        }
        catch (QmpException)
        {
            manager.Graph.MoveParents(filter, options.Source);
            JobManager.Detach(JobFilter.CloseAsync(manager.Graph, filter));
            throw;
        }
    }

    /// <summary>The doors are open again: the started job, paused until now, goes to work. A turn.</summary>
    public void Proceed() => Unhalt();

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        if (_options.Sync == MirrorSyncMode.Top)
        {
            BlockNode? basis = _options.Source.SkipFilters().Backing?.Node.SkipFilters();
            await ScanAsync(_copy, basis, UnmarkUnallocated).ConfigureAwait(false);
        }

        if (_options.Sync == MirrorSyncMode.None)
        {
            await Failure.WaitAsync(Cancellation).ConfigureAwait(false);
            ThrowIfFailed();
        }

        await CopyDirtyAsync(_copy).ConfigureAwait(false);

        // The bitmap forgets what was copied only once the copy is durable.
        while (!await TryFlushTargetAsync().ConfigureAwait(false))
        {
            await PausePointAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask CommitAsync()
    {
        await RemoveFilterAsync();
        _bitmap?.Succeed();
    }

    /// <inheritdoc/>
    protected override async ValueTask AbortAsync()
    {
        await RemoveFilterAsync();
        _bitmap?.Fail(_filter.Bitmaps.CopyContent(_toCopy));
    }

    /// <inheritdoc/>
    protected override void UndoMaking()
    {
        Keep(null);
        Graph.MoveParents(_filter, _options.Source);
        _bitmap?.Thaw();
        _closing = JobFilter.CloseAsync(Graph, _filter);
    }

    /// <inheritdoc/>
    protected override async ValueTask CleanAsync()
    {
        await (_closing ?? JobFilter.CloseAsync(Graph, _filter));
        await base.CleanAsync();
    }

    private static void Check(JobManager manager, BackupOptions options, int clusterSize)
    {
        if (options.Source == options.Target)
        {
            throw new QmpException("Source and target cannot be the same");
        }

        if (options.Compress && !options.Target.SupportsCompression)
        {
            throw new QmpException("Compression is not supported for this drive ");
        }

        manager.CheckNotInUse(options.Source);
        manager.CheckNotInUse(options.Target);
        if (options.Perf?.MaxWorkers is < 1 or > int.MaxValue)
        {
            throw new QmpException("max-workers must be between 1 and 2147483647");
        }

        if (options.Perf?.MaxChunk is < 0)
        {
            throw new QmpException("max-chunk must be zero (which means no limit) or positive");
        }
    }

    private static NodeNameReservation ReserveFilterName(BlockGraph graph, string name)
    {
        try
        {
            return graph.Reserve(name);
        }
        catch (QmpException e)
        {
            throw new QmpException($"Could not create node: {e.Message}");
        }
    }

    /// <summary>In the drained section: takes the doors, decides what is to be copied, freezes the bitmap.</summary>
    /// <exception cref="QmpException">Permissions conflict; the job is gone and the bitmap as before.</exception>
    private void Attach(uint clusterSize)
    {
        try
        {
            Graph.AttachRoot(SourceDoor, _options.Source, BlockPermission.ConsistentRead, BlockPermission.All, staysAtNode: true);
            Graph.AttachRoot(TargetDoor, _options.Target, BlockPermission.None, BlockPermission.All, staysAtNode: true);
            MakeCopy(clusterSize);
            Keep(_copy);
        }
        catch (QmpException)
        {
            _filter.Copy = null;
            JobManager.Detach(Graph.DetachRootAsync(SourceDoor).AsTask());
            JobManager.Detach(Graph.DetachRootAsync(TargetDoor).AsTask());
            Discard();
            throw;
        }

        BlockedNodes.AddRange([_options.Target, _filter]);
        _bitmap?.Freeze();

        // Started behind closed doors, it is running, then paused until they open.
        Halt();
    }

    private void MakeCopy(uint clusterSize)
    {
        bool isGuided = _options.Sync is MirrorSyncMode.Incremental or MirrorSyncMode.Bitmap;
        _toCopy = _filter.Bitmaps.AddAnonymous(clusterSize, dirty: !isGuided, disabled: true);
        if (isGuided)
        {
            _filter.Bitmaps.MergeContent(_toCopy, _bitmap!.CopyContent());
        }

        bool usesCopyRange = _options is { Perf.UseCopyRange: true, Compress: false };
        _copy = new BlockCopy(SourceDoor.Root!, TargetDoor.Root!, _toCopy, CountCopied, _options.Perf?.MaxChunk ?? 0, usesCopyRange)
        {
            DiscardsSource = _options.DiscardSource,
            SkipZeroes = _options.TargetIsZero,
            WriteFlags = _options.Compress ? BlockWriteFlags.Compressed : BlockWriteFlags.None,
            ZeroFlags = BlockWriteFlags.MayUnmap,
        };
        Progress.SetTotal(_copy.CountDirtyBytes());
        _filter.Broken = OnBroken;
    }

    /// <summary>Counts whole clusters, as the bitmap does, also where the disk ends inside one.</summary>
    private void CountCopied(long bytes) => Progress.Advance((bytes + _toCopy.Granularity - 1) & -(long)_toCopy.Granularity);

    private ValueTask UnmarkUnallocated(long offset, BlockStatus status)
    {
        if (!status.IsAllocated)
        {
            _copy.Unmark(offset, status.Length);
        }

        return default;
    }

    private async ValueTask RemoveFilterAsync()
    {
        using GraphChange change = await Graph.ChangeAsync();
        using DrainedSection section = await Graph.DrainAsync(_options.Source);
        Keep(null);
        Graph.MoveParents(_filter, _options.Source);
    }

    /// <summary>What the filter keeps from now on; while it keeps anything nobody may write or resize the source behind its back.</summary>
    private void Keep(BlockCopy? copy)
    {
        _filter.Copy = copy;
        Graph.RefreshPermissions(_filter);
    }

    private void OnBroken(CopyOutcome outcome)
    {
        FailBody(outcome);
        Manager.Loop.Post(() => EmitError(outcome, BlockErrorAction.Report));
    }
}
