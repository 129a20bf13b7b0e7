using Monitor.Block;
using Monitor.Block.Copy;
using Monitor.Block.Io;
using Monitor.Jobs.Copy;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>A job that copies between block nodes: speed limit, error policies, its own doors, BLOCK_JOB_* events.</summary>
/// <remarks>While one of its doors is closed the job counts as halted; the loop says so, the workers notice when they next knock.</remarks>
public abstract class BlockJob : Job
{
    /// <summary>Copies under way at once: more than two gain nothing (measured; DESIGN, "Copy").</summary>
    private const int MaximumWorkers = 2;

    /// <summary>Between two tries of what an error policy says to try again; QEMU's slice.</summary>
    private static readonly TimeSpan s_retryDelay = TimeSpan.FromMilliseconds(100);

    private readonly BlockJobSettings _settings;
    private readonly RateLimit _rate;
    private readonly CopyDoors _doors;
    private BlockDeviceIoStatus _ioStatus;
    private readonly TaskCompletionSource<CopyOutcome> _failure = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _mustStop;

    /// <summary>Makes the job; its doors have no node yet.</summary>
    /// <exception cref="QmpException">The id is malformed or taken, or the speed negative.</exception>
    protected BlockJob(JobManager manager, JobType type, BlockJobSettings settings)
        : base(manager, type, settings)
    {
        _settings = settings;
        _rate = new RateLimit(manager.Time);
        _doors = new CopyDoors(OnDrainedChanged);
        if (settings.SpeedBytesPerSecond < 0)
        {
            Discard();
            throw NegativeSpeed();
        }

        _rate.SetSpeed(settings.SpeedBytesPerSecond);
    }

    /// <summary>The nodes that no other job may use and no client delete meanwhile.</summary>
    internal List<BlockNode> BlockedNodes { get; } = [];

    /// <summary>The door to the source; stays at its node when filters come and go above it.</summary>
    protected BlockBackend SourceDoor => _doors.Source;

    /// <summary>The door to the target.</summary>
    protected BlockBackend TargetDoor => _doors.Target;

    /// <summary>Whether a door is one of this job's.</summary>
    internal bool Owns(BlockBackend door) => door == SourceDoor || door == TargetDoor;

    /// <summary>Completes when <see cref="FailBody"/> is called.</summary>
    private protected Task Failure => _failure.Task;

    /// <summary>The verb <c>set-speed</c>.</summary>
    /// <param name="bytesPerSecond">Limit in bytes per second; 0 is none.</param>
    /// <exception cref="QmpException">Not in this status, or negative.</exception>
    public void SetSpeed(long bytesPerSecond)
    {
        Apply(JobVerb.SetSpeed);
        if (bytesPerSecond < 0)
        {
            throw NegativeSpeed();
        }

        _rate.SetSpeed(bytesPerSecond);
    }

    /// <summary><c>block-job-cancel</c>: as the verb <c>cancel</c>, but a job that the user paused wants force.</summary>
    /// <exception cref="QmpException">Not in this status, or paused.</exception>
    public Task CancelBlockJobAsync(bool force)
    {
        if (IsUserPaused && !force)
        {
            throw new QmpException($"The block job for device '{Id}' is currently paused");
        }

        return CancelAsync(force);
    }

    /// <summary>How <c>query-block-jobs</c> shows the job.</summary>
    public BlockJobInfo ToBlockJobInfo() => new()
    {
        Type = Type.ToWire(),
        Device = Id,
        Len = Progress.Total,
        Offset = Progress.Current,
        Busy = false,
        Paused = IsPaused,
        Speed = _rate.SpeedBytesPerSecond,
        IoStatus = _ioStatus,
        Ready = Status is JobStatus.Ready or JobStatus.Standby,
        Status = Status,
        AutoFinalize = AutoFinalize,
        AutoDismiss = AutoDismiss,
        Error = Error,
        ActivelySynced = ReplyExtensions.ShowsNewerMembers ? IsActivelySynced : null,
    };

    /// <summary>Whether source and target are the same and new writes go to both; <see langword="null"/> for a job that does not follow writes.</summary>
    protected virtual bool? IsActivelySynced => null;

    /// <summary>Changes what its kind lets one change while it runs.</summary>
    /// <exception cref="QmpException">The job is of another kind, or past changing, or cannot be changed so.</exception>
    public void Change(BlockJobChangeOptions options)
    {
        if (options.Type != Type)
        {
            throw new QmpException($"Job '{Id}' is '{Type.ToWire()}' job, not '{options.Type.ToWire()}'");
        }

        Apply(JobVerb.Change);
        DoChange(options);
    }

    /// <summary>Changes the job; its kind is the one meant and it is not past changing.</summary>
    /// <exception cref="QmpException">It cannot be changed so.</exception>
    protected virtual void DoChange(BlockJobChangeOptions options) => throw new QmpException("Job type does not support change");

    /// <inheritdoc/>
    protected override void OnPending() => Manager.Graph.Events.BlockJobPending(Type, Id);

    /// <inheritdoc/>
    protected override void OnReady() =>
        Manager.Graph.Events.BlockJobReady(Type, Id, Progress.Total, Progress.Current, _rate.SpeedBytesPerSecond);

    /// <inheritdoc/>
    protected override void OnResumed() => _ioStatus = BlockDeviceIoStatus.Ok;

    /// <inheritdoc/>
    /// <remarks>A copy that waits for a lost server, or for a throttled turn, is not worth the wait any more.</remarks>
    protected override void OnCancelled()
    {
        if (TargetDoor.Root is { } target)
        {
            BlockGraph.EndWaits(target.Node);
        }
    }

    /// <inheritdoc/>
    protected override void OnConcluded()
    {
        long speed = _rate.SpeedBytesPerSecond;
        if (IsCancelled)
        {
            Manager.Graph.Events.BlockJobCancelled(Type, Id, Progress.Total, Progress.Current, speed);
        }
        else
        {
            Manager.Graph.Events.BlockJobCompleted(Type, Id, Progress.Total, Progress.Current, speed, Error);
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask CleanAsync()
    {
        BlockedNodes.Clear();
        await Manager.Graph.DetachRootAsync(SourceDoor);
        await Manager.Graph.DetachRootAsync(TargetDoor);
    }

    /// <summary>Data plane: copies until nothing is dirty, with as many workers as there is work for. None is left when it returns.</summary>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    /// <exception cref="BlockIoException">A copy failed and the policy is to fail.</exception>
    private protected async ValueTask CopyDirtyAsync(BlockCopy copy, bool mayPause = true)
    {
        do
        {
            while (copy.CountDirtyBytes() is > 0 and var dirty)
            {
                ThrowIfFailed();
                Progress.SetRemaining(dirty);
                var workers = new Task[Math.Min(MaximumWorkers, copy.ChunksFor(dirty))];
                for (int i = 0; i < workers.Length; i++)
                {
                    workers[i] = BlockThreads.RunAsync(() => DoWorkAsync(copy, mayPause));
                }

                await Task.WhenAll(workers).ConfigureAwait(false);
            }

            // A copy made for a guest's write may still be under way, and fail.
            await copy.InFlight.WhenPresentEnded().WaitAsync(Cancellation).ConfigureAwait(false);
            ThrowIfFailed();
        }
        while (copy.CountDirtyBytes() > 0);

        Progress.SetRemaining(0);
    }

    /// <summary>Data plane: shows every run of the source's map to <paramref name="visit"/>, inside the doors.</summary>
    /// <param name="copy">Knows the source.</param>
    /// <param name="basis">Where the layers end that count as allocated; <see langword="null"/> for the whole chain.</param>
    /// <param name="visit">Told a run's offset and status.</param>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    private protected async ValueTask ScanAsync(BlockCopy copy, BlockNode? basis, Func<long, BlockStatus, ValueTask> visit)
    {
        for (long offset = 0; offset < copy.SizeBytes;)
        {
            await PausePointAsync().ConfigureAwait(false);
            await _doors.EnterAsync(Cancellation).ConfigureAwait(false);
            try
            {
                BlockStatus status = await copy.StatusAsync(offset, copy.SizeBytes - offset, basis).ConfigureAwait(false);
                await visit(offset, status).ConfigureAwait(false);
                offset += status.Length;
            }
            finally
            {
                _doors.Exit();
            }
        }
    }

    /// <summary>Any thread: makes the body fail soon, because a copy made for a guest write failed.</summary>
    private protected void FailBody(CopyOutcome outcome)
    {
        _failure.TrySetResult(outcome);
        _mustStop = true;
    }

    /// <summary>Data plane: throws if <see cref="FailBody"/> was called.</summary>
    private protected void ThrowIfFailed()
    {
        if (_failure.Task.IsCompleted)
        {
            throw new BlockIoException(_failure.Task.Result.Errno);
        }
    }

    /// <summary>Data plane: reports a failed copy and does what the policy says: returns to try again, or throws.</summary>
    /// <exception cref="BlockIoException">The policy is to fail.</exception>
    private protected async ValueTask HandleErrorAsync(CopyOutcome outcome)
    {
        var decided = new TaskCompletionSource<BlockErrorAction>(TaskCreationOptions.RunContinuationsAsynchronously);
        Manager.Loop.Post(() => decided.SetResult(ReportError(outcome)));
        switch (await decided.Task.ConfigureAwait(false))
        {
            case BlockErrorAction.Report:
                throw new BlockIoException(outcome.Errno);
            case BlockErrorAction.Ignore:
                await Task.Delay(s_retryDelay, Manager.Time, Cancellation).ConfigureAwait(false);
                break;
        }
    }

    /// <summary>Data plane: makes the target durable.</summary>
    /// <returns>Whether it is; if not, the policy is to try again.</returns>
    /// <exception cref="BlockIoException">It failed and the policy is to fail.</exception>
    private protected async ValueTask<bool> TryFlushTargetAsync()
    {
        try
        {
            await TargetDoor.Node.FlushAsync().ConfigureAwait(false);
            return true;
        }
        catch (BlockIoException e)
        {
            await HandleErrorAsync(CopyOutcome.WriteFailed(e)).ConfigureAwait(false);
            return false;
        }
    }

    /// <summary>A turn: emits BLOCK_JOB_ERROR and, if the policy is to stop, pauses.</summary>
    private protected BlockErrorAction ReportError(CopyOutcome outcome)
    {
        BlockdevOnError policy = outcome.IsRead ? _settings.OnSourceError : _settings.OnTargetError;
        BlockErrorAction action = policy switch
        {
            BlockdevOnError.Ignore => BlockErrorAction.Ignore,
            BlockdevOnError.Stop => BlockErrorAction.Stop,
            BlockdevOnError.Enospc when outcome.Errno == Errno.ENOSPC => BlockErrorAction.Stop,
            BlockdevOnError.Auto when !outcome.IsRead && outcome.Errno == Errno.ENOSPC => BlockErrorAction.Stop,
            _ => BlockErrorAction.Report,
        };

        // Nobody can resume a job that makes its final changes, or was cancelled while the request was under way.
        if (action == BlockErrorAction.Stop && (Ended.IsCompleted || IsCancelled))
        {
            action = BlockErrorAction.Report;
        }

        EmitError(outcome, action);
        if (action == BlockErrorAction.Stop)
        {
            _ioStatus = outcome.Errno == Errno.ENOSPC ? BlockDeviceIoStatus.Nospace : BlockDeviceIoStatus.Failed;
            PauseAsUser();
        }

        return action;
    }

    /// <summary>A turn: emits BLOCK_JOB_ERROR.</summary>
    private protected void EmitError(CopyOutcome outcome, BlockErrorAction action) =>
        Manager.Graph.Events.BlockJobError(Id, outcome.IsRead ? IoOperationType.Read : IoOperationType.Write, action);

    private static QmpException NegativeSpeed() => new("Parameter 'speed' expects a non-negative value");

    private async ValueTask DoWorkAsync(BlockCopy copy, bool mayPause)
    {
        try
        {
            await WorkAsync(copy, mayPause).ConfigureAwait(false);
        }
        catch
        {
            _mustStop = true;
            throw;
        }
    }

    private async ValueTask WorkAsync(BlockCopy copy, bool mayPause)
    {
        while (!_mustStop)
        {
            if (mayPause)
            {
                await PausePointAsync().ConfigureAwait(false);
            }

            await _rate.WaitAsync(Cancellation).ConfigureAwait(false);
            await _doors.EnterAsync(Cancellation).ConfigureAwait(false);
            RangeClaim? claim = null;
            Task? busy = null;
            CopyOutcome outcome = default;
            try
            {
                if (copy.TryTake(out claim, out busy))
                {
                    outcome = await copy.CopyAsync(claim).ConfigureAwait(false);
                }
            }
            finally
            {
                _doors.Exit();
            }

            if (claim is not null)
            {
                _rate.Account(claim.Length);
            }
            else if (busy is null)
            {
                return;
            }
            else
            {
                await busy.WaitAsync(Cancellation).ConfigureAwait(false);
            }

            if (!outcome.Succeeded)
            {
                await HandleErrorAsync(outcome).ConfigureAwait(false);
            }
        }
    }

    private void OnDrainedChanged(bool isDrained)
    {
        if (isDrained)
        {
            Halt();
        }
        else
        {
            Unhalt();
        }
    }
}
