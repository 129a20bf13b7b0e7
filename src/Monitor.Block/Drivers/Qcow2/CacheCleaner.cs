namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Gives back the memory of tables that nobody asked for during a whole interval (<c>cache-clean-interval</c>).</summary>
#pragma warning disable CA1001 // ended by Stop, as the node that has it is closed and not disposed of
internal sealed class CacheCleaner
#pragma warning restore CA1001
{
    /// <summary>Bytes worth telling the collector of: an idle daemon allocates nothing that would make it look by itself.</summary>
    private const long WorthCollecting = 4 << 20;

    private readonly ImageMetadata _image;
    private readonly ITimer _timer;

    /// <summary>Starts to clean.</summary>
    /// <param name="image">Whose caches.</param>
    /// <param name="interval">How often; zero is never.</param>
    /// <param name="time">The clock.</param>
    public CacheCleaner(ImageMetadata image, TimeSpan interval, TimeProvider time)
    {
        _image = image;
        _timer = time.CreateTimer(static self => _ = ((CacheCleaner)self!).CleanAsync(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        SetInterval(interval);
    }

    /// <summary>Changes how often; zero is never.</summary>
    public void SetInterval(TimeSpan interval)
    {
        TimeSpan period = interval > TimeSpan.Zero ? interval : Timeout.InfiniteTimeSpan;
        _timer.Change(period, period);
    }

    /// <summary>Ends it.</summary>
    public void Stop() => _timer.Dispose();

    private async Task CleanAsync()
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        long freed;
        try
        {
            freed = _image.Map.DropUnused() + _image.Refcounts.DropUnused();
        }
        finally
        {
            _image.Lock.Release();
        }

        if (freed >= WorthCollecting)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: false);
        }
    }
}
