using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>What the two backup actions have in common: a job whose instant is the transaction's.</summary>
/// <param name="jobs">All jobs.</param>
/// <param name="arguments">What the client asked for; a <c>drive-backup</c> in the words of <c>blockdev-backup</c>.</param>
/// <param name="group">The jobs that complete or fail with it; null for none.</param>
internal abstract class BackupAction(JobManager jobs, BlockdevBackup arguments, JobTransaction? group) : TransactionStep
{
    private BackupJob? _job;
    private Task? _abandoned;

    public override bool SupportsGrouping => true;

    public override bool NeedsInstant => true;

    public override IEnumerable<BlockNode> DrainedNodes
    {
        get
        {
            foreach (string name in (string[])[Arguments.Device, Arguments.Target])
            {
                if (Graph.TryLookup(name, name) is { } node)
                {
                    yield return node;
                }
            }
        }
    }

    /// <summary>The nodes.</summary>
    protected BlockGraph Graph => jobs.Graph;

    /// <summary>What the client asked for.</summary>
    protected BlockdevBackup Arguments { get; } = arguments;

    /// <summary>Whether the target is known to read as zeroes.</summary>
    protected virtual bool TargetIsZero => false;

    /// <summary>What is copied.</summary>
    protected virtual MirrorSyncMode Sync => Arguments.Sync;

    public override void Prepare()
    {
        BlockNode source = Graph.GetDeviceOrNode(Arguments.Device);
        BlockNode target = FindTarget();
        _job = BackupJob.Prepare(jobs, new BackupOptions
        {
            JobId = Arguments.JobId ?? BlockGraph.DriveNameOf(source),
            Source = source,
            Target = target,
            Sync = Sync,
            SpeedBytesPerSecond = Arguments.Speed ?? 0,
            Bitmap = Arguments.Bitmap,
            BitmapMode = Arguments.BitmapMode,
            Compress = Arguments.Compress ?? false,
            OnSourceError = Arguments.OnSourceError ?? BlockdevOnError.Report,
            OnTargetError = Arguments.OnTargetError ?? BlockdevOnError.Report,
            AutoFinalize = Arguments.AutoFinalize ?? true,
            AutoDismiss = Arguments.AutoDismiss ?? true,
            FilterNodeName = Arguments.FilterNodeName,
            Perf = Arguments.XPerf,
            DiscardSource = Arguments.DiscardSource ?? false,
            FailsGuestWrites = Arguments.OnCbwError == OnCbwError.BreakGuestWrite,
            TargetIsZero = TargetIsZero,
            Transaction = group,
        });
    }

    public override void Commit() => _job!.Start();

    public override void Proceed() => _job!.Proceed();

    public override void Abort() => _abandoned = _job!.AbandonAsync();

    /// <summary>Waits for what an abandoned job still lets go of.</summary>
    public override async ValueTask UndoOpenAsync()
    {
        if (_abandoned is not null)
        {
            await _abandoned;
        }
    }

    /// <summary>The node to write to.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    protected abstract BlockNode FindTarget();
}
