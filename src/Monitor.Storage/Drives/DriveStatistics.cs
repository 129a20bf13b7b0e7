using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>What the users of a drive have asked of it: the counters of its requests, and how long they took if somebody wants to know.</summary>
/// <remarks>A request's time is all the time its sender waited: behind limits, closed doors and error policies too.</remarks>
public sealed class DriveStatistics
{
    private readonly LatencyHistogram?[] _histograms = new LatencyHistogram?[3];

    /// <summary>The counters.</summary>
    public BlockStatistics Counters { get; } = new();

    /// <summary>Whether failed requests count in times and activity.</summary>
    public bool AccountsFailed { get; internal set; } = true;

    /// <summary>Whether refused requests count as activity.</summary>
    public bool AccountsInvalid { get; internal set; } = true;

    /// <summary>The intervals whose figures are kept, as they were asked for.</summary>
    internal IReadOnlyList<IntervalStatistics> Intervals { get; set; } = [];

    /// <summary>Counts a request that succeeded.</summary>
    internal void CountDone(BlockRequestKind kind, long bytes, long started)
    {
        Counters.CountDone(kind, bytes, started);
        CountLatency(kind, started, inIntervals: true);
    }

    /// <summary>Counts a request that failed.</summary>
    internal void CountFailed(BlockRequestKind kind, long started)
    {
        Counters.CountFailed(kind, started, AccountsFailed);
        CountLatency(kind, started, AccountsFailed);
    }

    /// <summary>Counts a request that was refused.</summary>
    internal void CountInvalid(BlockRequestKind kind) => Counters.CountInvalid(kind, AccountsInvalid);

    /// <summary>Counts the requests of a kind by their time from now on.</summary>
    /// <param name="kind">Reads, writes or flushes.</param>
    /// <param name="boundaries">Where the bins end, in nanoseconds; null for no histogram.</param>
    /// <returns>False when they do not rise: nothing was changed.</returns>
    internal bool TrySetHistogram(BlockRequestKind kind, IReadOnlyList<ulong>? boundaries)
    {
        LatencyHistogram? histogram = boundaries is null ? null : LatencyHistogram.TryMake(boundaries);
        if (boundaries is not null && histogram is null)
        {
            return false;
        }

        Volatile.Write(ref _histograms[(int)kind], histogram);
        return true;
    }

    /// <summary>The histogram of a kind, if there is one.</summary>
    internal BlockLatencyHistogramInfo? Histogram(BlockRequestKind kind) => Volatile.Read(ref _histograms[(int)kind])?.Describe();

    private void CountLatency(BlockRequestKind kind, long started, bool inIntervals)
    {
        if (kind == BlockRequestKind.Unmap)
        {
            return;
        }

        if (Volatile.Read(ref _histograms[(int)kind]) is { } histogram)
        {
            histogram.Count((ulong)BlockStatistics.NanosecondsSince(started));
        }

        for (int i = 0; inIntervals && i < Intervals.Count; i++)
        {
            Intervals[i].Count(kind, BlockStatistics.NanosecondsSince(started));
        }
    }
}
