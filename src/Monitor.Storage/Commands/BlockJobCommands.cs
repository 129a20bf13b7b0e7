using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>block-job</c>, except what is a transaction of one.</summary>
/// <param name="jobs">All jobs.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class BlockJobCommands(JobManager jobs, DaemonLifetime lifetime) : IBlockJobCommands
{
    /// <inheritdoc/>
    public async ValueTask DriveMirrorAsync(DriveMirror arguments)
    {
        lifetime.CheckRunning();
        BlockNode source = jobs.Graph.GetRoot(arguments.Device);
        CheckReplaces(arguments);
        var image = new TargetImage(jobs.Graph, source, arguments.Sync)
        {
            FileName = arguments.Target,
            Format = arguments.Format,
            Mode = arguments.Mode ?? NewImageMode.AbsolutePaths,
            NodeName = arguments.NodeName,
        };
        BlockNode target = await image.OpenAsync();
        try
        {
            using GraphChange change = await jobs.Graph.ChangeAsync();
            await MirrorJob.StartAsync(jobs, new MirrorOptions
            {
                JobId = arguments.JobId ?? BlockGraph.DriveNameOf(source),
                Source = jobs.Graph.GetRoot(arguments.Device),
                Target = target,
                Sync = image.Sync,
                Replaces = arguments.Replaces,
                SpeedBytesPerSecond = arguments.Speed ?? 0,
                GranularityBytes = arguments.Granularity ?? 0,
                BufferSizeBytes = arguments.BufSize ?? 0,
                OnSourceError = arguments.OnSourceError ?? BlockdevOnError.Report,
                OnTargetError = arguments.OnTargetError ?? BlockdevOnError.Report,
                Unmap = arguments.Unmap ?? true,
                CopyMode = arguments.CopyMode ?? MirrorCopyMode.Background,
                AutoFinalize = arguments.AutoFinalize ?? true,
                AutoDismiss = arguments.AutoDismiss ?? true,
                TargetIsZero = image.IsZero,
            });
        }
        finally
        {
            await image.ReleaseAsync();
        }
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevMirrorAsync(BlockdevMirrorArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await jobs.Graph.ChangeAsync();
        BlockNode source = jobs.Graph.GetRoot(arguments.Device);
        await MirrorJob.StartAsync(jobs, new MirrorOptions
        {
            JobId = arguments.JobId ?? BlockGraph.DriveNameOf(source),
            Source = source,
            Target = jobs.Graph.GetDeviceOrNode(arguments.Target),
            Sync = arguments.Sync,
            Replaces = arguments.Replaces,
            SpeedBytesPerSecond = arguments.Speed ?? 0,
            GranularityBytes = arguments.Granularity ?? 0,
            BufferSizeBytes = arguments.BufSize ?? 0,
            OnSourceError = arguments.OnSourceError ?? BlockdevOnError.Report,
            OnTargetError = arguments.OnTargetError ?? BlockdevOnError.Report,
            FilterNodeName = arguments.FilterNodeName,
            CopyMode = arguments.CopyMode ?? MirrorCopyMode.Background,
            AutoFinalize = arguments.AutoFinalize ?? true,
            AutoDismiss = arguments.AutoDismiss ?? true,
            TargetIsZero = arguments.TargetIsZero ?? false,
        });
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<BlockJobInfo>> QueryBlockJobsAsync() => new(jobs.QueryBlockJobs());

    /// <inheritdoc/>
    public ValueTask BlockJobSetSpeedAsync(BlockJobSetSpeedArguments arguments)
    {
        jobs.GetBlockJob(arguments.Device).SetSpeed(arguments.Speed);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobChangeAsync(BlockJobChangeOptions arguments)
    {
        jobs.GetBlockJob(arguments.Id).Change(arguments);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobCancelAsync(BlockJobCancelArguments arguments) =>
        new(jobs.GetBlockJob(arguments.Device).CancelBlockJobAsync(arguments.Force ?? false));

    /// <inheritdoc/>
    public ValueTask BlockJobPauseAsync(BlockJobPauseArguments arguments)
    {
        jobs.GetBlockJob(arguments.Device).Pause();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobResumeAsync(BlockJobResumeArguments arguments)
    {
        jobs.GetBlockJob(arguments.Device).Resume();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobCompleteAsync(BlockJobCompleteArguments arguments)
    {
        jobs.GetBlockJob(arguments.Device).Complete();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobDismissAsync(BlockJobDismissArguments arguments)
    {
        jobs.GetBlockJob(arguments.Id).Dismiss();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockJobFinalizeAsync(BlockJobFinalizeArguments arguments) =>
        new(jobs.GetBlockJob(arguments.Id).FinalizeAsync());

    private static void CheckReplaces(DriveMirror arguments)
    {
        if (arguments.Replaces is not null && arguments.NodeName is null)
        {
            throw new QmpException("a node-name must be provided when replacing a named node of the graph");
        }
    }
}
