using System.Numerics;

namespace Monitor.Block.Bitmaps;

/// <summary>One bit for each granule of a byte range, in layers of 64-bit words, whose memory follows its content.</summary>
/// <remarks>
/// <para>
/// The idea: the bits lie in leaves of 64 words; each leaf has a summary word with one bit per word, 64 leaves form a branch with a summary
/// word with one bit per leaf, and an array holds the branches. A leaf or branch that is all zero does not exist. So a search for the next
/// dirty granule skips 4,096 clean ones by one bit and 262,144 by one null reference.
/// </para>
/// <para>
/// Example: 1 TiB at 64 KiB is 2^24 granules, 64 branches. Byte offset 5 GiB is granule 81,920 = branch 0, leaf 20, word 0, bit 0. With
/// only that bit set the bitmap is the array (512 bytes), one branch and one leaf (536 bytes each).
/// </para>
/// <para>
/// Cost: setting a bit is a few ns; a clean 1 TiB/64 KiB bitmap is about 0.6 KiB, with 200 scattered bits about 140 KiB, full 2.2 MiB.
/// </para>
/// <para>
/// All positions are bytes of the range described; setting rounds outwards to whole granules, clearing demands whole granules. No locks, no
/// I/O: the caller serialises. <c>HierarchicalBitmap.Data.cs</c> turns the bits into bytes and back.
/// </para>
/// </remarks>
public sealed partial class HierarchicalBitmap
{
    /// <summary>The most granules one bitmap may have (its branch array is then 8 MiB).</summary>
    public const long MaxGranules = 1L << 38;

    private const int WordsPerBranchBits = 12;
    private readonly int _granularityBits;
    private BitmapBranch?[] _branches;
    private long _granules;
    private long _dirtyGranules;

    /// <summary>Makes a clean bitmap.</summary>
    /// <param name="sizeBytes">The bytes described, 0 or more.</param>
    /// <param name="granularity">Bytes per bit, a power of two.</param>
    /// <exception cref="ArgumentOutOfRangeException">A negative size, a granularity that is no power of two, or more than <see
    /// cref="MaxGranules"/>.</exception>
    public HierarchicalBitmap(long sizeBytes, uint granularity)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeBytes);
        if (!BitOperations.IsPow2(granularity))
            throw new ArgumentOutOfRangeException(nameof(granularity));
        _granularityBits = BitOperations.Log2(granularity);
        Granularity = granularity;
        SizeBytes = sizeBytes;
        _granules = GranuleCount(sizeBytes, granularity);
        _branches = new BitmapBranch?[BranchCount(_granules)];
    }

    /// <summary>Bytes described.</summary>
    public long SizeBytes { get; private set; }

    /// <summary>Bytes per bit.</summary>
    public uint Granularity { get; }

    /// <summary>Dirty granules times granularity; the last granule counts whole even where the size ends inside it.</summary>
    public long DirtyBytes => _dirtyGranules << _granularityBits;

    /// <summary>Whether a bit or the size changed since <see cref="MarkStored"/>; true for a new bitmap.</summary>
    public bool IsModified { get; private set; } = true;

    /// <summary>Notes that an image holds exactly this content.</summary>
    public void MarkStored() => IsModified = false;

    /// <summary>Notes that no image holds exactly this content.</summary>
    public void MarkModified() => IsModified = true;

    /// <summary>Granules needed for a size.</summary>
    /// <param name="sizeBytes">The bytes described.</param>
    /// <param name="granularity">Bytes per bit, a power of two.</param>
    public static long GranuleCount(long sizeBytes, uint granularity)
    {
        int bits = BitOperations.Log2(granularity);
        return (sizeBytes >> bits) + ((sizeBytes & (granularity - 1)) != 0 ? 1 : 0);
    }

    /// <summary>Whether the granule that holds a byte is dirty.</summary>
    /// <param name="offset">Byte offset, inside the size.</param>
    public bool IsDirty(long offset)
    {
        long granule = offset >> _granularityBits;
        return (ReadWord(granule >> 6) >> (int)(granule & 63) & 1) != 0;
    }

    /// <summary>Makes every granule dirty that a byte range touches; what lies past the size is ignored.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; nothing happens if 0 or less.</param>
    public void Set(long offset, long length)
    {
        length = Math.Min(length, SizeBytes - offset);
        if (length <= 0)
            return;
        long first = offset >> _granularityBits;
        long last = (offset + length - 1) >> _granularityBits;
        for (long word = first >> 6; word <= last >> 6; word++)
            SetBits(word, MaskWithin(word, first, last));
    }

    /// <summary>Makes whole granules clean.</summary>
    /// <param name="offset">First byte, at the start of a granule.</param>
    /// <param name="length">Bytes, whole granules or up to the size or beyond.</param>
    /// <exception cref="ArgumentException">The range cuts a granule.</exception>
    public void Reset(long offset, long length)
    {
        long end = offset + Math.Min(length, SizeBytes - offset);
        if (end <= offset)
            return;
        if ((offset & (Granularity - 1)) != 0 || ((end & (Granularity - 1)) != 0 && end != SizeBytes))
            throw new ArgumentException("A part of a granule cannot be made clean.", nameof(offset));
        ResetGranules(offset >> _granularityBits, (end - 1) >> _granularityBits);
    }

    /// <summary>Makes everything clean and frees the memory.</summary>
    public void Clear()
    {
        if (_dirtyGranules == 0)
            return;
        Array.Clear(_branches);
        _dirtyGranules = 0;
        IsModified = true;
    }

    /// <summary>Makes dirty what is dirty in another bitmap, of any granularity.</summary>
    /// <param name="source">May be this bitmap.</param>
    public void Merge(HierarchicalBitmap source)
    {
        if (ReferenceEquals(source, this))
            return;
        if (source.Granularity == Granularity && source.SizeBytes == SizeBytes)
        {
            for (long word = source.NextNonZeroWord(0); word >= 0; word = source.NextNonZeroWord(word + 1))
                SetBits(word, source.ReadWord(word));
            return;
        }

        long position = 0;
        while (source.NextDirtyArea(position, source.SizeBytes, long.MaxValue, out long offset, out long length))
        {
            Set(offset, length);
            position = offset + length;
        }
    }

    /// <summary>An independent copy.</summary>
    public HierarchicalBitmap Clone()
    {
        var copy = new HierarchicalBitmap(SizeBytes, Granularity);
        copy.Merge(this);
        return copy;
    }

    /// <summary>Changes the size: what is cut off is forgotten, what is added is clean.</summary>
    /// <param name="sizeBytes">The new size, 0 or more.</param>
    public void Resize(long sizeBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(sizeBytes);
        long granules = GranuleCount(sizeBytes, Granularity);
        int branches = BranchCount(granules);
        if (granules < _granules)
            ResetGranules(granules, _granules - 1);
        Array.Resize(ref _branches, branches);
        _granules = granules;
        SizeBytes = sizeBytes;
        IsModified = true;
    }

    /// <summary>The first dirty byte at or after a position, or -1.</summary>
    /// <param name="offset">Where to begin, 0 or more.</param>
    /// <param name="end">Where to stop (exclusive); cut to the size.</param>
    public long NextDirty(long offset, long end)
    {
        end = Math.Min(end, SizeBytes);
        if (offset >= end)
            return -1;
        long granule = offset >> _granularityBits;
        long word = granule >> 6;
        ulong bits = ReadWord(word) & (ulong.MaxValue << (int)(granule & 63));
        if (bits == 0)
        {
            word = NextNonZeroWord(word + 1);
            if (word < 0)
                return -1;
            bits = ReadWord(word);
        }

        long found = Math.Max(offset, ((word << 6) + BitOperations.TrailingZeroCount(bits)) << _granularityBits);
        return found < end ? found : -1;
    }

    /// <summary>The first clean byte at or after a position, or -1.</summary>
    /// <param name="offset">Where to begin, 0 or more.</param>
    /// <param name="end">Where to stop (exclusive); cut to the size.</param>
    public long NextClean(long offset, long end)
    {
        end = Math.Min(end, SizeBytes);
        if (offset >= end)
            return -1;
        long granule = offset >> _granularityBits;
        long lastWord = ((end - 1) >> _granularityBits) >> 6;
        ulong mask = ulong.MaxValue << (int)(granule & 63);
        for (long word = granule >> 6; word <= lastWord; word++, mask = ulong.MaxValue)
        {
            ulong clean = ~ReadWord(word) & mask;
            if (clean == 0)
                continue;
            long found = Math.Max(offset, ((word << 6) + BitOperations.TrailingZeroCount(clean)) << _granularityBits);
            return found < end ? found : -1;
        }

        return -1;
    }

    /// <summary>Finds the next dirty area.</summary>
    /// <param name="start">Where to begin, 0 or more.</param>
    /// <param name="end">Where to stop (exclusive); cut to the size.</param>
    /// <param name="maxLength">The longest area wanted, in bytes, above 0.</param>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <returns>Whether there is one.</returns>
    public bool NextDirtyArea(long start, long end, long maxLength, out long offset, out long length)
    {
        end = Math.Min(end, SizeBytes);
        offset = NextDirty(start, end);
        length = 0;
        if (offset < 0)
            return false;
        long limit = maxLength < end - offset ? offset + maxLength : end;
        long clean = NextClean(offset, limit);
        length = (clean < 0 ? limit : clean) - offset;
        return true;
    }

    private static int BranchCount(long granules)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(granules, MaxGranules);
        return (int)((granules + (1L << (WordsPerBranchBits + 6)) - 1) >> (WordsPerBranchBits + 6));
    }

    private static ulong MaskWithin(long word, long first, long last)
    {
        ulong mask = ulong.MaxValue;
        if (word == first >> 6)
            mask &= ulong.MaxValue << (int)(first & 63);
        if (word == last >> 6)
            mask &= ulong.MaxValue >> (63 - (int)(last & 63));
        return mask;
    }

    private ulong ReadWord(long word)
    {
        long branch = word >> WordsPerBranchBits;
        if (branch >= _branches.Length)
            return 0;
        BitmapLeaf? leaf = _branches[branch]?.Leaves[(int)(word >> 6) & 63];
        return leaf is null ? 0 : leaf.Words[(int)word & 63];
    }

    private void SetBits(long word, ulong mask)
    {
        if (mask == 0)
            return;
        int leafIndex = (int)(word >> 6) & 63;
        BitmapBranch branch = _branches[word >> WordsPerBranchBits] ??= new BitmapBranch();
        BitmapLeaf leaf = branch.Leaves[leafIndex] ??= new BitmapLeaf();
        ulong added = mask & ~leaf.Words[(int)word & 63];
        if (added == 0)
            return;
        leaf.Words[(int)word & 63] |= added;
        leaf.Summary |= 1UL << (int)(word & 63);
        branch.Summary |= 1UL << leafIndex;
        _dirtyGranules += BitOperations.PopCount(added);
        IsModified = true;
    }

    private void ResetBits(long word, ulong mask)
    {
        BitmapBranch? branch = _branches[word >> WordsPerBranchBits];
        int leafIndex = (int)(word >> 6) & 63;
        if (branch?.Leaves[leafIndex] is not { } leaf)
            return;
        ulong removed = mask & leaf.Words[(int)word & 63];
        if (removed == 0)
            return;
        leaf.Words[(int)word & 63] &= ~removed;
        _dirtyGranules -= BitOperations.PopCount(removed);
        IsModified = true;
        if (leaf.Words[(int)word & 63] == 0)
            ForgetWord(word, branch, leaf);
    }

    private void ForgetWord(long word, BitmapBranch branch, BitmapLeaf leaf)
    {
        leaf.Summary &= ~(1UL << (int)(word & 63));
        if (leaf.Summary != 0)
            return;
        int leafIndex = (int)(word >> 6) & 63;
        branch.Leaves[leafIndex] = null;
        branch.Summary &= ~(1UL << leafIndex);
        if (branch.Summary == 0)
            _branches[word >> WordsPerBranchBits] = null;
    }

    private void ResetGranules(long first, long last)
    {
        for (long word = NextNonZeroWord(first >> 6); word >= 0 && word <= last >> 6; word = NextNonZeroWord(word + 1))
            ResetBits(word, MaskWithin(word, first, last));
    }

    private long NextNonZeroWord(long word)
    {
        for (long index = word >> WordsPerBranchBits; index < _branches.Length; word = ++index << WordsPerBranchBits)
        {
            if (_branches[index] is not { } branch)
                continue;
            int firstLeaf = (int)(word >> 6) & 63;
            for (ulong leaves = branch.Summary & (ulong.MaxValue << firstLeaf); leaves != 0; leaves &= leaves - 1)
            {
                int leafIndex = BitOperations.TrailingZeroCount(leaves);
                int firstWord = leafIndex == firstLeaf ? (int)word & 63 : 0;
                ulong words = branch.Leaves[leafIndex]!.Summary & (ulong.MaxValue << firstWord);
                if (words != 0)
                    return (index << WordsPerBranchBits) + (leafIndex << 6) + BitOperations.TrailingZeroCount(words);
            }
        }

        return -1;
    }
}
