using System.Numerics;

namespace Monitor.Block.Bitmaps;

/// <summary>
/// The marks of one granularity in a <see cref="WriteLog"/>: words, leaf summaries, branch summaries, one for all; set and taken without locks.
/// </summary>
/// <remarks>The memory-ordering argument is at the head of <see cref="WriteLog"/>.</remarks>
internal sealed class WriteLogMap
{
    private const int GranulesPerBranchBits = 18;
    private readonly int _granularityBits;
    private readonly int _branchCount;
    private BitmapBranch?[]? _branches;
    private long _sizeBytes;
    private ulong _summary;

    /// <summary>Makes an empty map.</summary>
    /// <param name="sizeBytes">Bytes of the node; marks past it are cut off.</param>
    /// <param name="granularityBits">Log2 of the bytes per bit.</param>
    /// <param name="capacityBytes">The size it can follow without a new map; at least the size.</param>
    internal WriteLogMap(long sizeBytes, int granularityBits, long capacityBytes)
    {
        _sizeBytes = sizeBytes;
        _granularityBits = granularityBits;
        long granules = HierarchicalBitmap.GranuleCount(capacityBytes, 1u << granularityBits);
        _branchCount = (int)((granules + (1 << GranulesPerBranchBits) - 1) >> GranulesPerBranchBits);
    }

    /// <summary>Whether there is a mark to take.</summary>
    internal bool HasMarks => Volatile.Read(ref _summary) != 0;

    private long CapacityBytes => (long)_branchCount << (GranulesPerBranchBits + _granularityBits);

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

    /// <summary>Takes all marks, clearing them. One caller at a time; marks may go on meanwhile.</summary>
    /// <param name="takers">The bitmaps in which they become dirty; what lies past the size does not.</param>
    internal void Take(ReadOnlySpan<DirtyBitmap> takers)
    {
        if (TakeWord(ref _summary) == 0)
            return;
        BitmapBranch?[] branches = Volatile.Read(ref _branches)!;
        for (int index = 0; index < branches.Length; index++)
        {
            if (Volatile.Read(ref branches[index]) is not { } branch)
                continue;
            for (ulong leaves = TakeWord(ref branch.Summary); leaves != 0; leaves &= leaves - 1)
            {
                int leafIndex = BitOperations.TrailingZeroCount(leaves);
                TakeLeaf(Volatile.Read(ref branch.Leaves[leafIndex])!, ((long)index << 12) + (leafIndex << 6), takers);
            }
        }
    }

    private static ulong TakeWord(ref ulong word) => Volatile.Read(ref word) == 0 ? 0 : Interlocked.Exchange(ref word, 0);

    private static void SetBits(ref ulong word, ulong mask)
    {
        if ((Volatile.Read(ref word) & mask) != mask)
            Interlocked.Or(ref word, mask);
    }

    private void MarkWord(long word, ulong mask)
    {
        BitmapBranch?[] branches = Volatile.Read(ref _branches) ?? AddBranches();
        BitmapBranch branch = Volatile.Read(ref branches[word >> 12]) ?? AddBranch(ref branches[word >> 12]);
        int leafIndex = (int)(word >> 6) & 63;
        BitmapLeaf leaf = Volatile.Read(ref branch.Leaves[leafIndex]) ?? AddLeaf(branch, leafIndex);
        SetBits(ref leaf.Words[(int)word & 63], mask);
        SetBits(ref leaf.Summary, 1UL << (int)(word & 63));
        SetBits(ref branch.Summary, 1UL << leafIndex);
        SetBits(ref _summary, 1);
    }

    private BitmapBranch?[] AddBranches()
    {
        var branches = new BitmapBranch?[_branchCount];
        return Interlocked.CompareExchange(ref _branches, branches, null) ?? branches;
    }

    private static BitmapBranch AddBranch(ref BitmapBranch? place)
    {
        var branch = new BitmapBranch();
        return Interlocked.CompareExchange(ref place, branch, null) ?? branch;
    }

    private static BitmapLeaf AddLeaf(BitmapBranch branch, int index)
    {
        var leaf = new BitmapLeaf();
        return Interlocked.CompareExchange(ref branch.Leaves[index], leaf, null) ?? leaf;
    }

    private void TakeLeaf(BitmapLeaf leaf, long firstWord, ReadOnlySpan<DirtyBitmap> takers)
    {
        for (ulong words = TakeWord(ref leaf.Summary); words != 0; words &= words - 1)
        {
            int wordIndex = BitOperations.TrailingZeroCount(words);
            ulong bits = TakeWord(ref leaf.Words[wordIndex]);
            foreach (DirtyBitmap taker in takers)
                taker.Content.SetWord(firstWord + wordIndex, bits, _granularityBits);
        }
    }
}
