namespace Monitor.Block.Drivers.File;

/// <summary>What became of the discards that reached a file.</summary>
public sealed class DiscardStatistics
{
    private long _done;
    private long _failed;
    private long _bytes;

    /// <summary>Discards that succeeded.</summary>
    public long Done => Volatile.Read(ref _done);

    /// <summary>Discards that failed.</summary>
    public long Failed => Volatile.Read(ref _failed);

    /// <summary>Bytes of those that succeeded.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    internal void Count(long bytes, bool succeeded)
    {
        if (!succeeded)
        {
            Interlocked.Increment(ref _failed);
            return;
        }

        Interlocked.Increment(ref _done);
        Interlocked.Add(ref _bytes, bytes);
    }
}
