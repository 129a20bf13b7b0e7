namespace Unit.Qmp;

/// <summary>A clock that stands still until it is moved, and fires the timers on the way.</summary>
internal sealed class ManualTime : TimeProvider
{
    private readonly List<ManualTimer> _timers = [];

    private DateTimeOffset _now = DateTimeOffset.UnixEpoch.AddSeconds(100).AddMicroseconds(7);

    public override DateTimeOffset GetUtcNow() => _now;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state), _now + dueTime, period);
        _timers.Add(timer);
        return timer;
    }

    public void Advance(TimeSpan time)
    {
        _now += time;
        foreach (var timer in _timers.ToArray())
        {
            timer.FireUntil(_now);
        }
    }

    private sealed class ManualTimer(ManualTime owner, Action fire, DateTimeOffset due, TimeSpan period) : ITimer
    {
        private DateTimeOffset _due = due;

        private bool _isDisposed;

        public void FireUntil(DateTimeOffset now)
        {
            for (; !_isDisposed && _due <= now; _due += period)
            {
                fire();
            }
        }

        public bool Change(TimeSpan dueTime, TimeSpan period) => throw new NotSupportedException();

        public void Dispose()
        {
            _isDisposed = true;
            owner._timers.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
