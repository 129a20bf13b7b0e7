using System.Numerics;

namespace Monitor.Block.Bitmaps;

/// <summary>
/// The marks of one granularity in a <see cref="WriteLog"/>: words, leaf summaries, branch summaries; set and taken without locks.
/// </summary>
/// <remarks>The memory-ordering argument is at the head of <see cref="WriteLog"/>.</remarks>
internal sealed class WriteLogMap
{
    private const int GranulesPerBranchBits = 18;
    private readonly int _granularityBits;
    private readonly BitmapBranch?[] _branches;
    private long _sizeBytes;

    /// <summary>Makes an empty map.</summary>
    /// <param name="sizeBytes">Bytes of the node; marks past it are cut off.</param>
    /// <param name="granularityBits">Log2 of the bytes per bit.</param>
    /// <param name="capacityBytes">The size it can follow without a new map; at least the size.</param>
    internal WriteLogMap(long sizeBytes, int granularityBits, long capacityBytes)
    {
        _sizeBytes = sizeBytes;
        _granularityBits = granularityBits;
        long granules = HierarchicalBitmap.GranuleCount(capacityBytes, 1u << granularityBits);
        _branches = new BitmapBranch?[(granules + (1 << GranulesPerBranchBits) - 1) >> GranulesPerBranchBits];
    }

    private long CapacityBytes => (long)_branches.Length << (GranulesPerBranchBits + _granularityBits);

    /// <summary>Follows a change of size as far as the capacity goes.</summary>
    /// <returns>Whether it went far enough.</returns>
    internal bool TryResize(long sizeBytes)
    {
        Volatile.Write(ref _sizeBytes, Math.Min(sizeBytes, CapacityBytes));
        return sizeBytes <= CapacityBytes;
    }

    /// <summary>Marks every granule that a byte range touches. Safe from any thread.</summary>
    internal void Mark(long offset, long length)
    {
        length = Math.Min(length, Volatile.Read(ref _sizeBytes) - offset);
        if (length <= 0)
            return;
        long first = offset >> _granularityBits;
        long last = (offset + length - 1) >> _granularityBits;
        ulong mask = ulong.MaxValue << (int)(first & 63);
        for (long word = first >> 6; word < last >> 6; word++, mask = ulong.MaxValue)
            MarkWord(word, mask);
        MarkWord(last >> 6, mask & (ulong.MaxValue >> (63 - (int)(last & 63))));
    }

    /// <summary>Takes all marks, clearing them, as runs in ascending order. One caller at a time; marks may go on meanwhile.</summary>
    /// <param name="take">Gets (byte offset, length) of each run, inside the size.</param>
    internal void Take(Action<long, long> take)
    {
        long runStart = -1;
        long runEnd = -1;
        for (int index = 0; index < _branches.Length; index++)
        {
            if (Volatile.Read(ref _branches[index]) is not { } branch)
                continue;
            for (ulong leaves = TakeWord(ref branch.Summary); leaves != 0; leaves &= leaves - 1)
            {
                int leafIndex = BitOperations.TrailingZeroCount(leaves);
                long firstGranule = ((long)index << GranulesPerBranchBits) + (leafIndex << 12);
                TakeLeaf(Volatile.Read(ref branch.Leaves[leafIndex])!, firstGranule, ref runStart, ref runEnd, take);
            }
        }

        Emit(runStart, runEnd, take);
    }

    private static ulong TakeWord(ref ulong word) => Volatile.Read(ref word) == 0 ? 0 : Interlocked.Exchange(ref word, 0);

    private static void SetBits(ref ulong word, ulong mask)
    {
        if ((Volatile.Read(ref word) & mask) != mask)
            Interlocked.Or(ref word, mask);
    }

    private void MarkWord(long word, ulong mask)
    {
        BitmapBranch branch = Volatile.Read(ref _branches[word >> 12]) ?? AddBranch(word >> 12);
        int leafIndex = (int)(word >> 6) & 63;
        BitmapLeaf leaf = Volatile.Read(ref branch.Leaves[leafIndex]) ?? AddLeaf(branch, leafIndex);
        SetBits(ref leaf.Words[(int)word & 63], mask);
        SetBits(ref leaf.Summary, 1UL << (int)(word & 63));
        SetBits(ref branch.Summary, 1UL << leafIndex);
    }

    private BitmapBranch AddBranch(long index)
    {
        var branch = new BitmapBranch();
        return Interlocked.CompareExchange(ref _branches[index], branch, null) ?? branch;
    }

    private static BitmapLeaf AddLeaf(BitmapBranch branch, int index)
    {
        var leaf = new BitmapLeaf();
        return Interlocked.CompareExchange(ref branch.Leaves[index], leaf, null) ?? leaf;
    }

    private void TakeLeaf(BitmapLeaf leaf, long firstGranule, ref long runStart, ref long runEnd, Action<long, long> take)
    {
        for (ulong words = TakeWord(ref leaf.Summary); words != 0; words &= words - 1)
        {
            int wordIndex = BitOperations.TrailingZeroCount(words);
            ulong bits = TakeWord(ref leaf.Words[wordIndex]);
            long granule = firstGranule + (wordIndex << 6);
            while (bits != 0)
            {
                int start = BitOperations.TrailingZeroCount(bits);
                int length = BitOperations.TrailingZeroCount(~(bits >> start));
                if (granule + start != runEnd)
                {
                    Emit(runStart, runEnd, take);
                    runStart = granule + start;
                }

                runEnd = granule + start + length;
                bits = start + length == 64 ? 0 : bits & (ulong.MaxValue << (start + length));
            }
        }
    }

    private void Emit(long runStart, long runEnd, Action<long, long> take)
    {
        if (runStart < 0)
            return;
        long offset = runStart << _granularityBits;
        long end = Math.Min(runEnd << _granularityBits, _sizeBytes);
        if (offset < end)
            take(offset, end - offset);
    }
}
