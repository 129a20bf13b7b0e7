using System.Text;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The numbers of the format (qcow2 spec) and the limits that guard against absurd images (the reference implementation's).</summary>
internal static class Qcow2Format
{
    public const uint Magic = 0x514649FB;

    public const int MinimumClusterBits = 9;
    public const int MaximumClusterBits = 21;
    public const int MaximumRefcountOrder = 6;

    public const int Version2HeaderBytes = 72;
    public const int Version3HeaderBytes = 104;

    public const long MaximumL1Bytes = 32 << 20;
    public const long MaximumRefcountTableBytes = 8 << 20;
    public const int MaximumSnapshots = 65536;
    public const long MaximumSnapshotTableBytes = 1024L * MaximumSnapshots;
    public const int MaximumBackingNameBytes = 1023;
    public const int MaximumBackingFormatBytes = 15;

    /// <summary>Bytes that a host offset may not reach: its field in L1, L2 and refcount table entries ends with bit 55.</summary>
    public const long MaximumHostOffset = 1L << 56;

    /// <summary>Bits of an L1, L2 or refcount table entry that hold a host offset.</summary>
    public const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    /// <summary>In L1 and L2 entries: the refcount of what it points at is exactly one, so it may be changed in place.</summary>
    public const ulong Copied = 1UL << 63;

    /// <summary>The unit that a disk writes wholly or not at all.</summary>
    public const int SectorBytes = 512;

    /// <summary>A number in QEMU's texts: hexadecimal with 0x before it, but for zero.</summary>
    public static string Hex(long value) => value == 0 ? "0" : $"0x{value:x}";

    /// <summary>A name as images are read by programs in C: it ends at the first NUL.</summary>
    public static string Text(ReadOnlySpan<byte> name)
    {
        int end = name.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? name : name[..end]);
    }
}
