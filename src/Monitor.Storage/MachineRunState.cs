using Monitor.Qapi;

namespace Monitor.Storage;

/// <summary>The run state of the machine that clients see: <c>stop</c>, <c>cont</c> and the error policies of drives set it.</summary>
/// <remarks>No guest runs or stops with it; only requests that an error policy has parked wait for it.</remarks>
/// <param name="events">Told of each change.</param>
public sealed class MachineRunState(IEventSink events)
{
    private volatile object _state = RunState.Running;
    private TaskCompletionSource<bool> _resumed = NewSource();

    /// <summary>Called as a turn before the machine runs again.</summary>
    public Action? Resuming { get; set; }

    /// <summary>The state; on any thread.</summary>
    public RunState State => (RunState)_state;

    /// <summary>Whether it is running; on any thread.</summary>
    public bool IsRunning => State == RunState.Running;

    /// <summary>Sets the state that it starts in: nobody is told.</summary>
    public void Begin(RunState state) => _state = state;

    /// <summary>Stops it, unless it does not run; a turn.</summary>
    /// <param name="why">The state it is in then.</param>
    public void Stop(RunState why)
    {
        if (IsRunning)
        {
            _state = why;
            events.Stop();
        }
    }

    /// <summary>Lets it run; a turn.</summary>
    public void Continue()
    {
        Resuming?.Invoke();
        if (!IsRunning)
        {
            _state = RunState.Running;
            events.Resume();
        }

        Release(isRunning: true);
    }

    /// <summary>Ends every wait for <see cref="ResumedAsync"/>, those to come too, because the daemon ends; a turn.</summary>
    public void End()
    {
        Release(isRunning: false);
        _resumed.SetResult(false);
    }

    /// <summary>Completes with true at the next <see cref="Continue"/>, with false when the daemon ends first. Asked for in a turn.</summary>
    public Task<bool> ResumedAsync() => _resumed.Task;

    /// <summary>The answer of <c>query-status</c>; on any thread.</summary>
    public StatusInfo Describe()
    {
        RunState state = State;
        return new StatusInfo { Running = state == RunState.Running, Singlestep = false, Status = state };
    }

    private static TaskCompletionSource<bool> NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Release(bool isRunning)
    {
        TaskCompletionSource<bool> released = _resumed;
        _resumed = NewSource();
        released.TrySetResult(isRunning);
    }
}
