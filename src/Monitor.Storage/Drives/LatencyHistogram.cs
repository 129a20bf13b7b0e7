using System.Collections.Immutable;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>Counts how many requests took how long; from any thread.</summary>
/// <remarks>A bin begins where the one before it ends: bounds 10 and 50 make the bins [0, 10), [10, 50) and [50, ∞) of nanoseconds.</remarks>
internal sealed class LatencyHistogram
{
    private readonly ImmutableArray<ulong> _boundaries;
    private readonly long[] _bins;

    private LatencyHistogram(ImmutableArray<ulong> boundaries)
    {
        _boundaries = boundaries;
        _bins = new long[boundaries.Length + 1];
    }

    /// <summary>Makes one; <see langword="null"/> when the boundaries do not rise from above 0.</summary>
    public static LatencyHistogram? TryMake(IReadOnlyList<ulong> boundaries)
    {
        ulong before = 0;
        foreach (ulong boundary in boundaries)
        {
            if (boundary <= before)
            {
                return null;
            }

            before = boundary;
        }

        return new LatencyHistogram([.. boundaries]);
    }

    /// <summary>Counts a request.</summary>
    public void Count(ulong nanoseconds)
    {
        int found = _boundaries.BinarySearch(nanoseconds);
        Interlocked.Increment(ref _bins[found >= 0 ? found + 1 : ~found]);
    }

    /// <summary>The figures so far.</summary>
    public BlockLatencyHistogramInfo Describe() => new()
    {
        Boundaries = _boundaries,
        Bins = [.. _bins.Select(bin => (ulong)bin)],
    };
}
