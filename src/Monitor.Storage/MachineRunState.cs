using Monitor.Qapi;

namespace Monitor.Storage;

/// <summary>The run state that clients of a virtual machine set by <c>stop</c> and <c>cont</c>; nothing here runs or stops with it.</summary>
/// <param name="events">Told of each change.</param>
public sealed class MachineRunState(IEventSink events)
{
    private volatile bool _isRunning = true;

    /// <summary>Whether it is running.</summary>
    public bool IsRunning => _isRunning;

    /// <summary>Sets it; a turn.</summary>
    public void Set(bool isRunning)
    {
        if (_isRunning == isRunning)
        {
            return;
        }

        _isRunning = isRunning;
        if (isRunning)
        {
            events.Resume();
        }
        else
        {
            events.Stop();
        }
    }

    /// <summary>The answer of <c>query-status</c>; on any thread.</summary>
    public StatusInfo Describe()
    {
        bool isRunning = _isRunning;
        return new StatusInfo { Running = isRunning, Singlestep = false, Status = isRunning ? RunState.Running : RunState.Paused };
    }
}
