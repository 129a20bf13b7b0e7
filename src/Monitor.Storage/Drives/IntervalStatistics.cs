using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>How long a drive's requests took in the last seconds (<c>stats-intervals</c>).</summary>
internal sealed class IntervalStatistics
{
    private readonly long _seconds;
    private readonly TimedAverage[] _latencies;

    /// <summary>Begins to count.</summary>
    /// <param name="time">The clock.</param>
    /// <param name="seconds">The interval's length.</param>
    public IntervalStatistics(TimeProvider time, long seconds)
    {
        _seconds = seconds;
        var period = TimeSpan.FromSeconds(seconds);
        _latencies = [new TimedAverage(time, period), new TimedAverage(time, period), new TimedAverage(time, period)];
    }

    /// <summary>Counts a request: a read, a write or a flush.</summary>
    public void Count(BlockRequestKind kind, long nanoseconds) => _latencies[(int)kind].Add(nanoseconds);

    /// <summary>The figures now.</summary>
    public BlockDeviceTimedStats Describe()
    {
        var read = _latencies[(int)BlockRequestKind.Read].Read();
        var write = _latencies[(int)BlockRequestKind.Write].Read();
        var flush = _latencies[(int)BlockRequestKind.Flush].Read();
        return new BlockDeviceTimedStats
        {
            IntervalLength = _seconds,
            MinRdLatencyNs = read.Least,
            MaxRdLatencyNs = read.Greatest,
            AvgRdLatencyNs = read.Mean,
            MinWrLatencyNs = write.Least,
            MaxWrLatencyNs = write.Greatest,
            AvgWrLatencyNs = write.Mean,
            MinFlushLatencyNs = flush.Least,
            MaxFlushLatencyNs = flush.Greatest,
            AvgFlushLatencyNs = flush.Mean,
            AvgRdQueueDepth = read.Load,
            AvgWrQueueDepth = write.Load,
        };
    }
}
