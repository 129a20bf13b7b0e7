namespace Monitor.Jobs;

/// <summary>Holds a job to a speed: each piece of work is paid for after it was done, and the next waits until the debt is paid.</summary>
/// <param name="time">The clock.</param>
internal sealed class RateLimit(TimeProvider time)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _speedBytesPerSecond;
    private long _paidAt;

    /// <summary>Bytes per second; 0 is no limit.</summary>
    public long SpeedBytesPerSecond => Interlocked.Read(ref _speedBytesPerSecond);

    /// <summary>Sets the speed; old debt is forgiven, so that a new speed acts at once.</summary>
    public void SetSpeed(long bytesPerSecond)
    {
        TaskCompletionSource changed;
        lock (_lock)
        {
            _speedBytesPerSecond = bytesPerSecond;
            _paidAt = 0;
            changed = _changed;
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        changed.SetResult();
    }

    /// <summary>Adds what was done to the debt.</summary>
    public void Account(long bytes)
    {
        lock (_lock)
        {
            if (_speedBytesPerSecond > 0)
            {
                long cost = (long)((double)bytes / _speedBytesPerSecond * time.TimestampFrequency);
                _paidAt = Math.Max(_paidAt, time.GetTimestamp()) + cost;
            }
        }
    }

    /// <summary>Waits until nothing is owed.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> fired.</exception>
    public async ValueTask WaitAsync(CancellationToken cancellation)
    {
        while (Owed(out Task changed) is { Ticks: > 0 } owed)
        {
            using var delay = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            await Task.WhenAny(Task.Delay(owed, time, delay.Token), changed).ConfigureAwait(false);
            await delay.CancelAsync().ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
        }
    }

    private TimeSpan Owed(out Task changed)
    {
        lock (_lock)
        {
            changed = _changed.Task;
            long ticks = _speedBytesPerSecond > 0 ? _paidAt - time.GetTimestamp() : 0;
            double seconds = (double)ticks / time.TimestampFrequency;

            // Timers take no more than about 49 days; a debt of an hour is looked at again then.
            return ticks <= 0 ? TimeSpan.Zero : TimeSpan.FromSeconds(Math.Clamp(seconds, 0.001, 3600));
        }
    }
}
