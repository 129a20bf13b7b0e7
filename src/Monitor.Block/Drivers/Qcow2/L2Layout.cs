using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>How an image's L2 entries are laid out: 8 bytes, or 16 with a bitmap of subclusters (qcow2 spec, "Extended L2 Entries").</summary>
/// <remarks>
/// What can be written or zeroed by itself is a unit: a subcluster, 1/32 of a cluster, in an image with extended entries, else a whole
/// cluster. Code that thinks in units serves both. Example: clusters of 64 KiB, a bitmap of allocated 0x0000_0003 and zero 0x8000_0000
/// reads 4 KiB of data, 58 KiB of the backing file, 2 KiB of zeroes.
/// </remarks>
/// <param name="clusterBits">Of the image.</param>
/// <param name="isExtended">Whether entries have a bitmap.</param>
/// <param name="hasDataFile">Whether guest data lies in another file, where host offset 0 is a place like others.</param>
internal sealed class L2Layout(int clusterBits, bool isExtended, bool hasDataFile)
{
    private const int SubclusterBits = 5;
    private const ulong AllAllocated = uint.MaxValue;
    private const ulong AllZero = ~AllAllocated;

    /// <summary>The least cluster bits of an image with extended entries: their subclusters are whole sectors.</summary>
    public const int LeastExtendedClusterBits = 14;

    /// <summary>The layout that a header asks for.</summary>
    public static L2Layout For(Qcow2Header header) => new(
        (int)header.ClusterBits,
        (header.Incompatible & Qcow2IncompatibleFeatures.ExtendedL2) != 0,
        (header.Incompatible & Qcow2IncompatibleFeatures.DataFile) != 0);

    public int ClusterBits => clusterBits;

    public bool IsExtended => isExtended;

    /// <summary>Whether guest data lies in another file.</summary>
    public bool HasDataFile => hasDataFile;

    /// <summary>An entry takes 2 to the power of this many bytes.</summary>
    public int EntryBits { get; } = isExtended ? 4 : 3;

    /// <summary>A unit takes 2 to the power of this many bytes.</summary>
    public int UnitBits { get; } = isExtended ? clusterBits - SubclusterBits : clusterBits;

    /// <summary>Units in a cluster.</summary>
    public int Units { get; } = isExtended ? 1 << SubclusterBits : 1;

    /// <summary>Guest bytes that one table covers, as a power of two.</summary>
    public int TableShift => (2 * clusterBits) - EntryBits;

    /// <summary>L1 entries that a disk of some bytes needs.</summary>
    public ulong TablesFor(ulong sizeBytes) =>
        (sizeBytes >> TableShift) + ((sizeBytes & ((1UL << TableShift) - 1)) != 0 ? 1UL : 0);

    /// <summary>An entry as it is now; from any thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public L2Entry Read(MetadataBlock slice, int entry) => isExtended ? ReadExtended(slice, entry) : Sound(slice.ReadWord(entry), 0);

    private L2Entry ReadExtended(MetadataBlock slice, int entry)
    {
        (ulong raw, ulong bitmap) = slice.ReadWords(entry);
        return Sound(WithoutReserved(raw), bitmap);
    }

    /// <summary>An entry of a table that was read.</summary>
    public L2Entry Read(ReadOnlySpan<byte> table, int entry)
    {
        ReadOnlySpan<byte> bytes = table[(entry << EntryBits)..];
        ulong raw = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        return isExtended ? Sound(WithoutReserved(raw), BinaryPrimitives.ReadUInt64BigEndian(bytes[sizeof(ulong)..])) : Sound(raw, 0);
    }

    /// <summary>Changes an entry, wholly for every reader. Under the allocation lock.</summary>
    public void Write(MetadataBlock slice, int entry, L2Entry value)
    {
        if (isExtended)
        {
            slice.WriteWords(entry, value.Raw, value.Bitmap);
        }
        else
        {
            slice.WriteWord(entry, value.Raw);
        }
    }

    /// <summary>What one unit of an entry is, and how many from it on are alike; from 1 to the end of the cluster.</summary>
    public int RunAt(L2Entry entry, int unit, out L2EntryKind kind)
    {
        if (!isExtended || entry.Kind == L2EntryKind.Compressed)
        {
            kind = entry.Kind;
            return Units - unit;
        }

        kind = KindAt(entry, unit);
        (uint allocated, uint zero) = ((uint)entry.Bitmap, (uint)(entry.Bitmap >> 32));
        uint alike = kind switch
        {
            L2EntryKind.Normal => allocated,
            L2EntryKind.Unallocated => ~(allocated | zero),
            _ => zero,
        };
        return Math.Min(Units - unit, BitOperations.TrailingZeroCount(~(ulong)(alike >> unit)));
    }

    /// <summary>What one unit of an entry is.</summary>
    public L2EntryKind KindAt(L2Entry entry, int unit)
    {
        if (!isExtended || entry.Kind == L2EntryKind.Compressed)
        {
            return entry.Kind;
        }

        bool hasPlace = entry.Kind == L2EntryKind.Normal;
        return (entry.Bitmap >> unit & 1) != 0 ? L2EntryKind.Normal
            : (entry.Bitmap >> (unit + 32) & 1) == 0 ? L2EntryKind.Unallocated
            : hasPlace ? L2EntryKind.ZeroAllocated : L2EntryKind.ZeroPlain;
    }

    /// <summary>Whether the bitmap of an entry contradicts itself or the entry.</summary>
    public bool IsContradictory(L2Entry entry) => isExtended
        && entry.Kind != L2EntryKind.Compressed
        && (((entry.Bitmap >> 32) & entry.Bitmap & AllAllocated) != 0 || (entry.Kind == L2EntryKind.Unallocated && (entry.Bitmap & AllAllocated) != 0));

    /// <summary>An entry whose host cluster is its own: parts of it that hold nothing yet may be filled in place.</summary>
    public bool OwnsCluster(L2Entry entry) =>
        entry.IsCopied && (isExtended ? entry.Kind == L2EntryKind.Normal : entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated);

    /// <summary>The units, from the first to behind the last, that hold data of the entry and so move with it to another cluster.</summary>
    public (int From, int To) DataUnits(L2Entry entry)
    {
        if (!isExtended || entry.Kind == L2EntryKind.Compressed)
        {
            return (0, Units);
        }

        uint allocated = (uint)entry.Bitmap;
        return allocated == 0 ? (Units, 0) : (BitOperations.TrailingZeroCount(allocated), Units - BitOperations.LeadingZeroCount(allocated));
    }

    /// <summary>The entry once some of its units hold data at a place.</summary>
    /// <param name="old">The entry so far.</param>
    /// <param name="hostOffset">Where the cluster is.</param>
    /// <param name="from">The first unit.</param>
    /// <param name="to">Behind the last unit.</param>
    public L2Entry WithData(L2Entry old, long hostOffset, int from, int to)
    {
        var data = L2Entry.Data(hostOffset);
        ulong units = UnitMask(from, to);
        return isExtended ? data with { Bitmap = (old.Bitmap | units) & ~(units << 32) } : data;
    }

    /// <summary>The entry once some of its units read as zeroes, its cluster kept.</summary>
    public L2Entry WithZeroes(L2Entry old, int from, int to)
    {
        ulong units = UnitMask(from, to);
        return isExtended ? old with { Bitmap = (old.Bitmap | (units << 32)) & ~units } : old.WithZero;
    }

    /// <summary>An entry that reads as zeroes and has no cluster.</summary>
    public L2Entry Zero => isExtended ? new L2Entry(0, AllZero) : L2Entry.Zero;

    /// <summary>Without the bit that means zeroes where there is no bitmap.</summary>
    private static ulong WithoutReserved(ulong raw) => (raw & L2Entry.CompressedFlag) != 0 ? raw : raw & ~1UL;

    private static ulong UnitMask(int from, int to) => (1UL << to) - (1UL << from);

    /// <summary>Offset 0 is a place only in a data file; elsewhere such an entry has none, whatever its flag says.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private L2Entry Sound(ulong raw, ulong bitmap) =>
        !hasDataFile && raw >> 63 != 0 && (raw & (Qcow2Format.OffsetMask | L2Entry.CompressedFlag)) == 0
            ? new L2Entry(raw & ~Qcow2Format.Copied, bitmap)
            : new L2Entry(raw, bitmap);
}
