namespace Unit.Bitmaps;

/// <summary>A thread that a test begins at a chosen moment and that gets as far as it can: to its end, or to a lock that somebody holds.</summary>
internal sealed class HeldThread
{
    private readonly Thread _thread;

    /// <summary>Begins it; when this returns it has ended or waits for a lock.</summary>
    internal HeldThread(Action action)
    {
        _thread = new Thread(() => action());
        _thread.Start();
        while (_thread.IsAlive && (_thread.ThreadState & ThreadState.WaitSleepJoin) == 0)
        {
            Thread.Yield();
        }
    }

    /// <summary>Waits for its end.</summary>
    internal void Join() => _thread.Join();
}
