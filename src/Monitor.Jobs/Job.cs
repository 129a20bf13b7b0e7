using System.Diagnostics;
using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>A background task with a life that clients see: its status, its verbs, its pauses and its end.</summary>
/// <remarks>
/// <para>Everything here is a turn of the loop, except the body (<see cref="RunAsync"/>), which runs on the data plane, asks
/// <see cref="PausePointAsync"/> between two pieces of work and reports back by posting turns. The loop never waits for the body.</para>
/// <para>Pauses nest: the user's one and any number of internal ones (a closed door). The status follows the count at once; the body
/// notices at its next pause point. Whatever would change the status of a halted job (ready, the end) waits until it goes on, because
/// <c>paused</c> leads only back to <c>running</c>.</para>
/// <para>The end: waiting (for siblings) → pending → <see cref="PrepareAsync"/> → <see cref="CommitAsync"/> → <see cref="CleanAsync"/>
/// → concluded; or aborting → <see cref="AbortAsync"/> → <see cref="CleanAsync"/> → concluded. <see cref="JobTransaction"/> leads it.</para>
/// </remarks>
#pragma warning disable CA1001 // The cancellation source has no timer and no wait handle: nothing to dispose.
public abstract class Job
#pragma warning restore CA1001
{
    private readonly JobTransaction _transaction;
    private readonly CancellationTokenSource _cancellation = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _concluded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<Action> _afterPause = [];
    private TaskCompletionSource? _halted;
    private int _halts;
    private bool _isUserPaused;

    /// <summary>Makes a job and lists it; its status is <c>created</c>.</summary>
    /// <exception cref="QmpException">The id is malformed or taken.</exception>
    protected Job(JobManager manager, JobType type, JobSettings settings)
    {
        manager.CheckNewId(settings.JobId);
        Manager = manager;
        Id = settings.JobId;
        Type = type;
        AutoFinalize = settings.AutoFinalize;
        AutoDismiss = settings.AutoDismiss;
        _transaction = settings.Transaction ?? new JobTransaction();
        _transaction.Add(this);
        manager.Add(this);
        SetStatus(JobStatus.Created);
    }

    /// <summary>The unique id.</summary>
    public string Id { get; }

    /// <summary>What it does.</summary>
    public JobType Type { get; }

    /// <summary>Where it stands.</summary>
    public JobStatus Status { get; private set; }

    /// <summary>Whether it makes its final change unasked.</summary>
    public bool AutoFinalize { get; }

    /// <summary>Whether it vanishes at its end.</summary>
    public bool AutoDismiss { get; }

    /// <summary>Why it failed; <see langword="null"/> while it has not.</summary>
    public string? Error { get; private set; }

    /// <summary>How far it is.</summary>
    public JobProgress Progress { get; } = new();

    /// <summary>Whether it is, or is about to be, halted.</summary>
    public bool IsPaused => _halts > 0;

    /// <summary>Completes when the job is over (status <c>concluded</c>), or was discarded.</summary>
    public Task Concluded => _concluded.Task;

    /// <summary>Completes when the job is over and forgotten (status <c>null</c>).</summary>
    public Task Gone => _gone.Task;

    /// <summary>Whether it was cancelled by force, before it could end well.</summary>
    internal bool IsCancelled { get; private set; }

    /// <summary>Whether <see cref="Start"/> was called.</summary>
    internal bool IsStarted { get; private set; }

    /// <summary>Completes when the body is over.</summary>
    internal Task Ended => _ended.Task;

    /// <summary>Whether the job cannot end well any more.</summary>
    internal bool HasFailed => Error is not null || IsCancelled;

    /// <summary>A cancel came while the final changes were being made; <see cref="PrepareAsync"/> may still heed it.</summary>
    protected bool IsCancelRequestedLate { get; private set; }

    /// <summary>All jobs; also the way to the graph and its loop.</summary>
    protected JobManager Manager { get; }

    /// <summary>Whether the user's own pause holds.</summary>
    protected bool IsUserPaused => _isUserPaused;

    /// <summary>Fires when the job is cancelled by force: ends every wait of the body.</summary>
    protected CancellationToken Cancellation => _cancellation.Token;

    /// <summary>Begins the work: running, or at once paused if something halts it already.</summary>
    public void Start()
    {
        IsStarted = true;
        SetStatus(JobStatus.Running);
        ShowHalt();
        _ = BlockThreads.RunAsync(DoRunAsync);
    }

    /// <summary>The verb <c>pause</c>.</summary>
    /// <exception cref="QmpException">Not in this status, or paused already.</exception>
    public void Pause()
    {
        Apply(JobVerb.Pause);
        if (_isUserPaused)
        {
            throw new QmpException("Job is already paused");
        }

        PauseAsUser();
    }

    /// <summary>The verb <c>resume</c>.</summary>
    /// <exception cref="QmpException">Not in this status, or not paused by the user.</exception>
    public void Resume()
    {
        if (!_isUserPaused)
        {
            throw new QmpException("Can't resume a job that was not paused");
        }

        Apply(JobVerb.Resume);
        ResumeAsUser();
    }

    /// <summary>The verb <c>cancel</c>.</summary>
    /// <param name="force">Whether a job that is ready must end without finishing, too.</param>
    /// <returns>Completes when what the cancel itself ends (a pending job, and its siblings) has ended; a running body ends later.</returns>
    /// <exception cref="QmpException">Not in this status.</exception>
    public Task CancelAsync(bool force)
    {
        Apply(JobVerb.Cancel);
        return RequestCancelAsync(force);
    }

    /// <summary>The verb <c>complete</c>.</summary>
    /// <exception cref="QmpException">Not in this status, or the job is being cancelled.</exception>
    public void Complete()
    {
        Apply(JobVerb.Complete);
        if (IsCancelled || !TryComplete())
        {
            throw new QmpException($"The active block job '{Id}' cannot be completed");
        }
    }

    /// <summary>The verb <c>finalize</c>: all jobs of the transaction make their final changes.</summary>
    /// <returns>Completes when they have.</returns>
    /// <exception cref="QmpException">Not in this status.</exception>
    public Task FinalizeAsync()
    {
        Apply(JobVerb.Finalize);
        return _transaction.FinalizeAsync();
    }

    /// <summary>The verb <c>dismiss</c>.</summary>
    /// <exception cref="QmpException">Not in this status.</exception>
    public void Dismiss()
    {
        Apply(JobVerb.Dismiss);
        SetStatus(JobStatus.Null);
    }

    /// <summary>Gives up a job that was made but not started, and its unstarted siblings; undoes what making it did.</summary>
    public Task AbandonAsync() => Status == JobStatus.Created ? RequestCancelAsync(force: true) : Task.CompletedTask;

    /// <summary>How <c>query-jobs</c> shows the job.</summary>
    public JobInfo ToInfo() => new()
    {
        Id = Id,
        Type = Type,
        Status = Status,
        CurrentProgress = Progress.Current,
        TotalProgress = Progress.Total,
        Error = Error,
    };

    /// <summary>Halts the job once more, until <see cref="Unhalt"/>.</summary>
    internal void Halt()
    {
        if (_halts++ == 0)
        {
            Volatile.Write(ref _halted, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            ShowHalt();
        }
    }

    /// <summary>Takes back one <see cref="Halt"/>.</summary>
    internal void Unhalt()
    {
        if (--_halts > 0)
        {
            return;
        }

        TaskCompletionSource halted = _halted!;
        Volatile.Write(ref _halted, null);
        if (Status is JobStatus.Paused or JobStatus.Standby)
        {
            SetStatus(Status == JobStatus.Paused ? JobStatus.Running : JobStatus.Ready);
        }

        halted.SetResult();
        RunAfterPause();
    }

    /// <summary>Asks the job to end; not a verb, so any status will do.</summary>
    internal Task RequestCancelAsync(bool force)
    {
        bool hasEnded = !IsStarted || _ended.Task.IsCompleted;
        if (!force && !hasEnded && TryCancelSoftly())
        {
            return Task.CompletedTask;
        }

        if (_transaction.IsFinalizing)
        {
            IsCancelRequestedLate = true;
            return Task.CompletedTask;
        }

        MarkCancelled();
        return hasEnded ? _transaction.AbortAsync(this) : Task.CompletedTask;
    }

    /// <summary>Makes the end a cancelled one and wakes the body, so that it ends soon.</summary>
    internal void MarkCancelled()
    {
        if (HasFailed)
        {
            return;
        }

        IsCancelled = true;
        if (_isUserPaused)
        {
            ResumeAsUser();
        }

        // Not Cancel(): the body's continuations must not run in this turn.
        _ = _cancellation.CancelAsync();
        OnCancelled();
    }

    /// <summary>If never started: undoes what making it did.</summary>
    internal void UndoIfUnstarted()
    {
        if (!IsStarted)
        {
            UndoMaking();
        }
    }

    internal void EnterWaiting() => SetStatus(JobStatus.Waiting);

    internal void EnterPending()
    {
        SetStatus(JobStatus.Pending);
        if (!AutoFinalize)
        {
            OnPending();
        }
    }

    internal void EnterAborting()
    {
        Error ??= Errno.Describe(Errno.ECANCELED);
        SetStatus(JobStatus.Aborting);
    }

    /// <summary>Runs <see cref="PrepareAsync"/>; its failure becomes the job's.</summary>
    /// <returns>Whether it succeeded.</returns>
    internal async Task<bool> DoPrepareAsync()
    {
        try
        {
            await PrepareAsync();
            return true;
        }
        catch (Exception e)
        {
            TakeFailure(e);
            return false;
        }
    }

    /// <summary>The last steps, good or bad, to <c>concluded</c> or beyond.</summary>
    internal async Task ConcludeAsync()
    {
        if (HasFailed)
        {
            if (Status != JobStatus.Aborting)
            {
                EnterAborting();
            }

            if (IsStarted)
            {
                await DoStepAsync(AbortAsync);
            }
        }
        else
        {
            await DoStepAsync(CommitAsync);
        }

        await DoStepAsync(CleanAsync);
        if (IsStarted)
        {
            OnConcluded();
        }

        DaemonLog.Info("Jobs", $"job {Id} ({Type.ToWire()}) concluded{(Error is null ? "" : $": {Error}")}");
        SetStatus(JobStatus.Concluded);
        if (AutoDismiss || !IsStarted)
        {
            SetStatus(JobStatus.Null);
        }
    }

    /// <summary>The body. Data plane; begins on a block thread.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    /// <exception cref="BlockIoException">The medium failed and the policy is to fail.</exception>
    /// <exception cref="QmpException">It cannot work as asked.</exception>
    protected abstract ValueTask RunAsync();

    /// <summary>Told to complete; <see langword="false"/> if this kind of job, or this one now, cannot.</summary>
    protected virtual bool TryComplete() => false;

    /// <summary>Told to end without force; <see langword="true"/> if it will end well instead of being cancelled.</summary>
    protected virtual bool TryCancelSoftly() => false;

    /// <summary>It was cancelled: what its body waits for must end soon. A turn.</summary>
    protected virtual void OnCancelled()
    {
    }

    /// <summary>The final change that may still fail. The status is <c>pending</c>.</summary>
    protected virtual ValueTask PrepareAsync() => default;

    /// <summary>The final change that cannot fail.</summary>
    protected virtual ValueTask CommitAsync() => default;

    /// <summary>Undoes what a job that failed or was cancelled has begun. Not called for one that was never started.</summary>
    protected virtual ValueTask AbortAsync() => default;

    /// <summary>Undoes, within this turn, what making a never started job did; the caller holds the graph and its drained section.</summary>
    protected virtual void UndoMaking()
    {
    }

    /// <summary>Lets go of everything, after either.</summary>
    protected virtual ValueTask CleanAsync() => default;

    /// <summary>Now <c>pending</c>, and waits for <c>job-finalize</c>.</summary>
    protected virtual void OnPending()
    {
    }

    /// <summary>Now <c>ready</c>.</summary>
    protected virtual void OnReady()
    {
    }

    /// <summary>The user lets it go on.</summary>
    protected virtual void OnResumed()
    {
    }

    /// <summary>About to be <c>concluded</c>, after having been started.</summary>
    protected virtual void OnConcluded()
    {
    }

    /// <summary>Data plane: goes on at once, or when the job is no longer halted.</summary>
    /// <exception cref="OperationCanceledException">The job was cancelled.</exception>
    protected async ValueTask PausePointAsync()
    {
        Cancellation.ThrowIfCancellationRequested();
        while (Volatile.Read(ref _halted) is { } halted)
        {
            await halted.Task.WaitAsync(Cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>Data plane: becomes <c>ready</c>, as soon as it is not halted.</summary>
    protected Task EnterReadyAsync()
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Manager.Loop.Post(() => WhenNotHalted(() =>
        {
            if (!HasFailed)
            {
                SetStatus(JobStatus.Ready);
                OnReady();
            }

            done.SetResult();
        }));
        return done.Task;
    }

    /// <summary>Pauses in the user's name (the verb, or an error policy); no-op if the user did already.</summary>
    protected void PauseAsUser()
    {
        if (!_isUserPaused)
        {
            _isUserPaused = true;
            Halt();
        }
    }

    /// <summary>Ends a job that was made and must not be seen any more: created → null.</summary>
    protected void Discard()
    {
        _transaction.Remove(this);
        SetStatus(JobStatus.Null);
    }

    /// <summary>Refuses a verb that the present status does not take.</summary>
    /// <exception cref="QmpException">It does not.</exception>
    protected void Apply(JobVerb verb)
    {
        if (!JobTransitions.Takes(Status, verb))
        {
            throw new QmpException($"Job '{Id}' in state '{Status.ToWire()}' cannot accept command verb '{verb.ToWire()}'");
        }
    }

    private void ResumeAsUser()
    {
        _isUserPaused = false;
        OnResumed();
        Unhalt();
    }

    private void ShowHalt()
    {
        if (_halts > 0 && !_ended.Task.IsCompleted && Status is (JobStatus.Running or JobStatus.Ready))
        {
            SetStatus(Status == JobStatus.Running ? JobStatus.Paused : JobStatus.Standby);
        }
    }

    private void WhenNotHalted(Action turn)
    {
        _afterPause.Add(turn);
        RunAfterPause();
    }

    private void RunAfterPause()
    {
        while (_halts == 0 && _afterPause.Count > 0)
        {
            Action turn = _afterPause[0];
            _afterPause.RemoveAt(0);
            turn();
        }
    }

    /// <summary>Takes one of the last steps; whatever goes wrong in it, the job must come to its end.</summary>
    private async Task DoStepAsync(Func<ValueTask> step)
    {
        try
        {
            await step();
        }
        catch (Exception e)
        {
            DaemonLog.Error("Jobs", $"job {Id}: {(e is QmpException or BlockIoException ? e.Message : e.ToString())}");
        }
    }

    private async ValueTask DoRunAsync()
    {
        Exception? failure = null;
        try
        {
            await PausePointAsync().ConfigureAwait(false);
            await RunAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failure = e;
        }

        Manager.Loop.Post(() => WhenNotHalted(() => End(failure)));
    }

    private void End(Exception? failure)
    {
        if (failure is not null)
        {
            TakeFailure(failure);
        }

        _ended.SetResult();
        JobManager.Detach(_transaction.MemberEndedAsync(this));
    }

    private void TakeFailure(Exception failure)
    {
        if (failure is OperationCanceledException)
        {
            IsCancelled = true;
            return;
        }

        if (failure is not (QmpException or BlockIoException))
        {
            DaemonLog.Error("Jobs", $"job {Id}: {failure}");
        }

        Error = failure is BlockIoException { Errno: var errno } ? Errno.Describe(errno) : failure.Message;
    }

    private void SetStatus(JobStatus next)
    {
        Debug.Assert(JobTransitions.IsAllowed(Status, next), $"job {Id}: {Status} -> {next}");
        Status = next;
        Manager.Graph.Events.JobStatusChange(Id, next);
        if (next == JobStatus.Concluded)
        {
            _concluded.SetResult();
        }
        else if (next == JobStatus.Null)
        {
            Manager.Remove(this);
            _concluded.TrySetResult();
            _gone.SetResult();
        }
    }
}
