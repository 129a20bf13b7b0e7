using System.Numerics;

namespace Monitor.Block.Bitmaps;

/// <content>The leaves: how granules become words, and who may change a leaf.</content>
public sealed partial class HierarchicalBitmap
{
    private static int BranchCount(long granules) => (int)((granules + (1L << GranulesPerBranchBits) - 1) >> GranulesPerBranchBits);

    private static ulong MaskWithin(long word, long first, long last)
    {
        ulong mask = ulong.MaxValue;
        if (word == first >> 6)
            mask &= ulong.MaxValue << (int)(first & 63);
        if (word == last >> 6)
            mask &= ulong.MaxValue >> (63 - (int)(last & 63));
        return mask;
    }

    private void SetGranules(long first, long last)
    {
        for (long granule = first; granule <= last;)
        {
            long leafEnd = ((granule >> GranulesPerLeafBits) + 1) << GranulesPerLeafBits;
            if (granule == leafEnd - BitmapLeaf.Granules && leafEnd - 1 <= last)
            {
                ReplaceLeaf(granule >> GranulesPerLeafBits, BitmapLeaf.Full);
            }
            else
            {
                for (long word = granule >> 6; word << 6 < leafEnd && word <= last >> 6; word++)
                    SetBits(word, MaskWithin(word, first, last));
            }

            granule = leafEnd;
        }
    }

    private void ResetGranules(long first, long last)
    {
        for (long index = NextLeaf(first >> GranulesPerLeafBits); index >= 0 && index << GranulesPerLeafBits <= last; index = NextLeaf(index + 1))
        {
            long start = index << GranulesPerLeafBits;
            if (start >= first && start + BitmapLeaf.Granules - 1 <= last)
            {
                ReplaceLeaf(index, null);
                continue;
            }

            long end = Math.Min(start + BitmapLeaf.Granules - 1, last);
            for (long word = Math.Max(start, first) >> 6; word <= end >> 6; word++)
                ResetBits(word, MaskWithin(word, first, last));
        }
    }

    private long NextCleanGranule(long first, long last)
    {
        for (long granule = first; granule <= last;)
        {
            long index = granule >> GranulesPerLeafBits;
            long leafEnd = (index + 1) << GranulesPerLeafBits;
            BitmapLeaf? leaf = LeafAt(index);
            if (leaf is null)
                return granule;
            for (; leaf.Count < BitmapLeaf.Granules && granule < leafEnd; granule = ((granule >> 6) + 1) << 6)
            {
                ulong clean = ~leaf.Words[(int)(granule >> 6) & 63] & (ulong.MaxValue << (int)(granule & 63));
                if (clean == 0)
                    continue;
                long found = (granule & ~63L) + BitOperations.TrailingZeroCount(clean);
                return found <= last ? found : -1;
            }

            granule = leafEnd;
        }

        return -1;
    }

    private BitmapLeaf? LeafAt(long index)
    {
        long branch = index >> 6;
        return branch < _branches.Length ? _branches[branch]?.Leaves[(int)index & 63] : null;
    }

    private ulong ReadWord(long word) => LeafAt(word >> 6) is { } leaf ? leaf.Words[(int)word & 63] : 0;

    private void SetBits(long word, ulong mask)
    {
        BitmapLeaf? leaf = LeafAt(word >> 6);
        ulong added = leaf is null ? mask : mask & ~leaf.Words[(int)word & 63];
        if (added == 0)
            return;
        if (leaf is not { IsShared: false })
            leaf = MakeOwnLeaf(word >> 6, leaf);
        leaf.Words[(int)word & 63] |= added;
        leaf.Summary |= 1UL << (int)(word & 63);
        Count(leaf, BitOperations.PopCount(added));
        if (leaf.Count == BitmapLeaf.Granules)
            PutLeaf(word >> 6, BitmapLeaf.Full);
    }

    private void ResetBits(long word, ulong mask)
    {
        BitmapLeaf? leaf = LeafAt(word >> 6);
        ulong removed = leaf is null ? 0 : mask & leaf.Words[(int)word & 63];
        if (removed == 0)
            return;
        if (leaf is not { IsShared: false })
            leaf = MakeOwnLeaf(word >> 6, leaf);
        ulong left = leaf.Words[(int)word & 63] &= ~removed;
        if (left == 0)
            leaf.Summary &= ~(1UL << (int)(word & 63));
        Count(leaf, -BitOperations.PopCount(removed));
        if (leaf.Count == 0)
            PutLeaf(word >> 6, null);
    }

    private void Count(BitmapLeaf leaf, int added)
    {
        leaf.Count += added;
        _dirtyGranules += added;
        IsModified = true;
    }

    /// <summary>Puts a leaf that may be changed in the place of none, or of a shared one.</summary>
    private BitmapLeaf MakeOwnLeaf(long index, BitmapLeaf? leaf)
    {
        BitmapLeaf own = leaf?.Copy() ?? new BitmapLeaf();
        PutLeaf(index, own);
        return own;
    }

    private void ReplaceLeaf(long index, BitmapLeaf? leaf)
    {
        BitmapLeaf? before = LeafAt(index);
        if (!ReferenceEquals(before, leaf))
            AddBits(index, leaf, (leaf?.Count ?? 0) - (before?.Count ?? 0));
    }

    /// <summary>Notes that the leaf at a place is this one now, which has so many bits more than before.</summary>
    private void AddBits(long index, BitmapLeaf? leaf, int added)
    {
        PutLeaf(index, leaf);
        _dirtyGranules += added;
        IsModified = true;
    }

    private void PutLeaf(long index, BitmapLeaf? leaf)
    {
        if (_branches.Length == 0)
            _branches = new BitmapBranch?[BranchCount(_granules)];
        BitmapBranch branch = _branches[index >> 6] ??= new BitmapBranch();
        branch.Leaves[(int)index & 63] = leaf;
        ulong bit = 1UL << (int)(index & 63);
        branch.Summary = leaf is null ? branch.Summary & ~bit : branch.Summary | bit;
        if (branch.Summary == 0)
            _branches[index >> 6] = null;
    }

    /// <summary>The first leaf at or after a place, or -1.</summary>
    private long NextLeaf(long index)
    {
        for (; index >> 6 < _branches.Length; index = ((index >> 6) + 1) << 6)
        {
            ulong leaves = (_branches[index >> 6]?.Summary ?? 0) & (ulong.MaxValue << (int)(index & 63));
            if (leaves != 0)
                return (index & ~63L) + BitOperations.TrailingZeroCount(leaves);
        }

        return -1;
    }

    private long NextNonZeroWord(long word)
    {
        long first = word >> 6;
        for (long index = NextLeaf(first); index >= 0; index = NextLeaf(index + 1))
        {
            ulong words = LeafAt(index)!.Summary & (index == first ? ulong.MaxValue << (int)(word & 63) : ulong.MaxValue);
            if (words != 0)
                return (index << 6) + BitOperations.TrailingZeroCount(words);
        }

        return -1;
    }
}
