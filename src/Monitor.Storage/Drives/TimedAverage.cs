namespace Monitor.Storage.Drives;

/// <summary>Least, greatest and mean of the values of about the last period; from any thread.</summary>
/// <remarks>
/// The idea: two windows begin half a period apart and each starts anew when a period is over; every value goes into both and the older one
/// answers. So the answer is about the last half to whole period, and costs no list of values. Example: period 10 s, windows begin at 0
/// and 5 s; at 12 s the first has begun anew at 10 s, the second answers, with the values since 5 s.
/// </remarks>
internal sealed class TimedAverage
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time;
    private readonly long _period;
    private readonly Window[] _windows;

    /// <summary>Makes one without values.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="period">Its length.</param>
    public TimedAverage(TimeProvider time, TimeSpan period)
    {
        _time = time;
        _period = (long)(period.TotalSeconds * time.TimestampFrequency);
        long now = time.GetTimestamp();
        _windows = [new Window(now + (_period / 2)), new Window(now + _period)];
    }

    /// <summary>Adds a value.</summary>
    public void Add(long value)
    {
        lock (_lock)
        {
            Older();
            foreach (Window window in _windows)
            {
                window.Add(value);
            }
        }
    }

    /// <summary>The figures now; zeroes without values. The load is the sum of the values over the nanoseconds that they are of.</summary>
    public (long Least, long Greatest, long Mean, double Load) Read()
    {
        lock (_lock)
        {
            Window window = Older();
            long elapsed = _period - (window.End - _time.GetTimestamp());
            double nanoseconds = elapsed * (1e9 / _time.TimestampFrequency);
            return window.Count == 0 ? default : (window.Least, window.Greatest, window.Sum / window.Count, nanoseconds > 0 ? window.Sum / nanoseconds : 0);
        }
    }

    private Window Older()
    {
        long now = _time.GetTimestamp();
        foreach (Window window in _windows)
        {
            if (window.End <= now)
            {
                window.Restart(now + _period - ((now - window.End) % _period));
            }
        }

        return _windows[0].End < _windows[1].End ? _windows[0] : _windows[1];
    }

    private sealed class Window(long end)
    {
        public long End { get; private set; } = end;

        public long Count { get; private set; }

        public long Sum { get; private set; }

        public long Least { get; private set; } = long.MaxValue;

        public long Greatest { get; private set; }

        public void Add(long value)
        {
            Count++;
            Sum += value;
            Least = Math.Min(Least, value);
            Greatest = Math.Max(Greatest, value);
        }

        public void Restart(long end) => (End, Count, Sum, Least, Greatest) = (end, 0, 0, long.MaxValue, 0);
    }
}
