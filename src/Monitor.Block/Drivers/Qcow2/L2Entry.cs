using System.Runtime.CompilerServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What an L2 entry says of its guest cluster.</summary>
internal enum L2EntryKind
{
    /// <summary>Nothing here: the backing file shows through.</summary>
    Unallocated,

    /// <summary>Reads as zeroes, no host cluster.</summary>
    ZeroPlain,

    /// <summary>Reads as zeroes, a host cluster is kept for it.</summary>
    ZeroAllocated,

    /// <summary>Data in a host cluster.</summary>
    Normal,

    /// <summary>Compressed data.</summary>
    Compressed,
}

/// <summary>One entry of an L2 table (qcow2 spec, "L2 table entry").</summary>
/// <param name="Raw">The 64 bits, in the machine's order.</param>
/// <param name="Bitmap">In images with extended entries: bit i says that unit i holds data, bit 32 + i that it reads as zeroes.</param>
internal readonly record struct L2Entry(ulong Raw, ulong Bitmap = 0)
{
    public const ulong CompressedFlag = 1UL << 62;
    private const ulong ZeroFlag = 1;

    /// <summary>Reads as zeroes, no host cluster.</summary>
    public static L2Entry Zero => new(ZeroFlag);

    /// <summary>What the entry as a whole is; with a bitmap, <see cref="L2Layout"/> tells of each unit.</summary>
    public L2EntryKind Kind
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (Raw & CompressedFlag) != 0 ? L2EntryKind.Compressed
            : (Raw & ZeroFlag) != 0 ? (HostOffset == 0 ? L2EntryKind.ZeroPlain : L2EntryKind.ZeroAllocated)
            : HostOffset == 0 && !IsCopied ? L2EntryKind.Unallocated : L2EntryKind.Normal;
    }

    /// <summary>Where the host cluster begins, for kinds that have one.</summary>
    public long HostOffset => (long)(Raw & Qcow2Format.OffsetMask);

    /// <summary>The host cluster belongs to this entry alone.</summary>
    public bool IsCopied => (Raw & Qcow2Format.Copied) != 0;

    /// <summary>The same entry, reading as zeroes.</summary>
    public L2Entry WithZero => this with { Raw = Raw | ZeroFlag };

    /// <summary>An entry for a cluster of its own.</summary>
    public static L2Entry Data(long hostOffset) => new((ulong)hostOffset | Qcow2Format.Copied);

    /// <summary>An entry for compressed data.</summary>
    /// <param name="hostOffset">Its first byte.</param>
    /// <param name="bytes">Its length, less than a cluster.</param>
    /// <param name="clusterBits">Of the image.</param>
    public static L2Entry Compressed(long hostOffset, int bytes, int clusterBits)
    {
        long sectors = ((hostOffset + bytes - 1) / Qcow2Format.SectorBytes) - (hostOffset / Qcow2Format.SectorBytes);
        return new(CompressedFlag | ((ulong)sectors << SectorsShift(clusterBits)) | (ulong)hostOffset);
    }

    /// <summary>The host bytes that hold compressed data (qcow2 spec, "Compressed Clusters Descriptor").</summary>
    /// <param name="clusterBits">Of the image.</param>
    /// <returns>First byte and length; the data may end before the range does.</returns>
    public (long Offset, int Length) CompressedRange(int clusterBits)
    {
        int sectorsShift = SectorsShift(clusterBits);
        long offset = (long)(Raw & ((1UL << sectorsShift) - 1));
        long sectors = (long)((Raw & (CompressedFlag - 1)) >> sectorsShift) + 1;
        return (offset, (int)((sectors * Qcow2Format.SectorBytes) - (offset % Qcow2Format.SectorBytes)));
    }

    /// <summary>The host clusters that compressed data touches.</summary>
    public ClusterRun CompressedClusters(int clusterBits)
    {
        (long start, int length) = CompressedRange(clusterBits);
        long first = start >> clusterBits;
        return new ClusterRun(first, ((start + length - 1) >> clusterBits) - first + 1);
    }

    private static int SectorsShift(int clusterBits) => 62 - (clusterBits - 8);
}
