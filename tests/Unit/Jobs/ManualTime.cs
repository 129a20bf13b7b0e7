namespace Unit.Jobs;

/// <summary>A clock that stands still until it is moved.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private long _ticks;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => Interlocked.Read(ref _ticks);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state), GetTimestamp() + dueTime.Ticks);
        lock (_lock)
        {
            _timers.Add(timer);
        }

        return timer;
    }

    public void Advance(TimeSpan time)
    {
        long now = Interlocked.Add(ref _ticks, time.Ticks);
        ManualTimer[] due;
        lock (_lock)
        {
            due = [.. _timers.Where(timer => timer.Due <= now)];
            _timers.RemoveAll(timer => timer.Due <= now);
        }

        foreach (ManualTimer timer in due)
        {
            timer.Ring();
        }
    }

    private sealed class ManualTimer(ManualTime owner, Action ring, long due) : ITimer
    {
        public long Due { get; } = due;

        public void Ring() => ring();

        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
