namespace Monitor.Jobs;

/// <summary>How far a job is, in a unit of its own (bytes for block jobs); counted on the data plane, read by anyone.</summary>
public sealed class JobProgress
{
    private long _current;
    private long _total;

    /// <summary>Work done.</summary>
    public long Current => Interlocked.Read(ref _current);

    /// <summary>Work foreseen; may grow.</summary>
    public long Total => Interlocked.Read(ref _total);

    internal void Advance(long amount) => Interlocked.Add(ref _current, amount);

    internal void SetTotal(long total) => Interlocked.Exchange(ref _total, total);

    /// <summary>Foresees <paramref name="amount"/> beyond what is done.</summary>
    internal void SetRemaining(long amount) => SetTotal(Current + amount);
}
