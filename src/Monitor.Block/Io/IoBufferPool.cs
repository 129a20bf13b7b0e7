using System.Collections.Concurrent;
using System.Numerics;

namespace Monitor.Block.Io;

/// <summary>Reuses <see cref="IoBuffer"/>s by power-of-two size, keeping a bounded number of idle bytes.</summary>
public static class IoBufferPool
{
    private const int SmallestShift = 12;
    private const int LargestShift = 26;

    /// <summary>Idle bytes kept in all; what comes back above that is freed.</summary>
    private const long IdleLimitBytes = 64L << 20;

    private static readonly ConcurrentBag<IoBuffer>[] s_idle = CreateBags();
    private static long s_idleBytes;

    /// <summary>Rents a buffer of at least <paramref name="bytes"/>; its content is whatever was there.</summary>
    /// <param name="bytes">1 to 64 MiB.</param>
    public static IoBuffer Rent(int bytes)
    {
        int shift = Math.Max(SmallestShift, BitOperations.Log2((uint)Math.Max(bytes, 1) - 1 | 1) + 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(shift, LargestShift, nameof(bytes));
        if (s_idle[shift - SmallestShift].TryTake(out IoBuffer? buffer))
        {
            Interlocked.Add(ref s_idleBytes, -buffer.Capacity);
            return buffer;
        }

        return new IoBuffer(shift - SmallestShift, 1 << shift);
    }

    internal static void Return(IoBuffer buffer)
    {
        if (Interlocked.Add(ref s_idleBytes, buffer.Capacity) > IdleLimitBytes)
        {
            Interlocked.Add(ref s_idleBytes, -buffer.Capacity);
            buffer.Free();
            return;
        }

        s_idle[buffer.SizeClass].Add(buffer);
    }

    private static ConcurrentBag<IoBuffer>[] CreateBags()
    {
        var bags = new ConcurrentBag<IoBuffer>[LargestShift - SmallestShift + 1];
        for (int i = 0; i < bags.Length; i++)
        {
            bags[i] = [];
        }

        return bags;
    }
}
