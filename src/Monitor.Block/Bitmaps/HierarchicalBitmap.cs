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
/// Leaves are shared. A copy, a merge and a load hand over leaves instead of bits: a leaf that several bitmaps hold is changed by none of
/// them, each takes a copy before its first change there. Hence 64 bitmaps that recorded the same writes cost the memory of one, and a
/// place where all is dirty costs a reference to the one leaf that is full.
/// </para>
/// <para>
/// Example: 1 TiB at 64 KiB is 2^24 granules, 64 branches. Byte offset 5 GiB is granule 81,920 = branch 0, leaf 20, word 0, bit 0. With
/// only that bit set the bitmap is the array (536 bytes), one branch (536 bytes) and one leaf (544 bytes).
/// </para>
/// <para>
/// Cost: setting a bit is a few ns; making a bitmap does not depend on its size. A clean one takes about 100 bytes, one of 1 TiB/64 KiB with
/// 200 scattered bits 140 KiB, with every second granule dirty 2.2 MiB, full 35 KiB.
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

    private const int GranulesPerLeafBits = 12;
    private const int GranulesPerBranchBits = 18;
    private readonly int _granularityBits;
    private BitmapBranch?[] _branches = [];
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
        ArgumentOutOfRangeException.ThrowIfGreaterThan(_granules, MaxGranules, nameof(sizeBytes));
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

    /// <summary>Makes dirty in several bitmaps of one size and granularity what is dirty in another one of these.</summary>
    /// <param name="targets">Those that hold the same leaf hold the same one afterwards.</param>
    /// <param name="source">None of the targets.</param>
    internal static void MergeInto(ReadOnlySpan<HierarchicalBitmap> targets, HierarchicalBitmap source)
    {
        for (long index = source.NextLeaf(0); index >= 0; index = source.NextLeaf(index + 1))
        {
            BitmapLeaf theirs = source.LeafAt(index)!;
            BitmapLeaf? lastBefore = null;
            BitmapLeaf? lastUnion = null;
            int added = 0;
            foreach (HierarchicalBitmap target in targets)
            {
                BitmapLeaf? mine = target.LeafAt(index);
                if (lastUnion is not null && ReferenceEquals(mine, lastBefore))
                    lastUnion.Share();
                else
                    lastUnion = BitmapLeaf.Union(lastBefore = mine, theirs, out added);
                if (added != 0)
                    target.AddBits(index, lastUnion, added);
            }
        }
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
        if (length > 0)
            SetGranules(offset >> _granularityBits, (offset + length - 1) >> _granularityBits);
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
        _branches = [];
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
            MergeInto([this], source);
            return;
        }

        long position = 0;
        while (source.NextDirtyArea(position, source.SizeBytes, long.MaxValue, out long offset, out long length))
        {
            Set(offset, length);
            position = offset + length;
        }
    }

    /// <summary>Makes dirty what a word of the log covers; what lies past the size is ignored.</summary>
    /// <param name="word">The word's number.</param>
    /// <param name="bits">Its bits, one per granule of the log.</param>
    /// <param name="granularityBits">Log2 of the bytes per bit of the log.</param>
    internal void SetWord(long word, ulong bits, int granularityBits)
    {
        if (granularityBits == _granularityBits && (word + 1) << 6 <= _granules)
        {
            SetBits(word, bits);
            return;
        }

        while (bits != 0)
        {
            int first = BitOperations.TrailingZeroCount(bits);
            int count = BitOperations.TrailingZeroCount(~(bits >> first));
            Set(((word << 6) + first) << granularityBits, (long)count << granularityBits);
            bits = first + count >= 64 ? 0 : bits & (ulong.MaxValue << (first + count));
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
        ArgumentOutOfRangeException.ThrowIfGreaterThan(granules, MaxGranules, nameof(sizeBytes));
        if (granules < _granules)
            ResetGranules(granules, _granules - 1);
        if (_branches.Length > 0)
            Array.Resize(ref _branches, BranchCount(granules));
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
        long granule = NextCleanGranule(offset >> _granularityBits, (end - 1) >> _granularityBits);
        return granule < 0 ? -1 : Math.Max(offset, granule << _granularityBits);
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
}
