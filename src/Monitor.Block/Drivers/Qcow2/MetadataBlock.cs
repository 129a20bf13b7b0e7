using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>A piece of an L2 table, or a refcount block, in memory. Bound to its index for good, so a late reader finds old entries, never another's.</summary>
/// <param name="index">Its number in the cache.</param>
/// <param name="hostOffset">Where it is stored.</param>
/// <param name="bytes">Its content in the image's byte order.</param>
internal sealed class MetadataBlock(long index, long hostOffset, byte[] bytes)
{
    /// <summary>Its number in the cache.</summary>
    public long Index { get; } = index;

    /// <summary>Where it is stored; changes when a shared table is copied.</summary>
    public long HostOffset { get; set; } = hostOffset;

    /// <summary>The content in the image's byte order.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Entries of 64 bits.</summary>
    public int EntryCount => Bytes.Length >> 3;

    /// <summary>Differs from the image. Changed under the allocation lock.</summary>
    public bool IsDirty { get; set; }

    /// <summary>Used since the last look for something to evict.</summary>
    public bool IsRecent { get; set; }

    /// <summary>Holds an entry that must be checked before use.</summary>
    public bool IsSuspect { get; init; }

    /// <summary>Allocations under way that will change it; not evicted meanwhile.</summary>
    public int Pins { get; set; }

    /// <summary>An entry as it is now; from any thread.</summary>
    public ulong ReadEntry(int entry) =>
        BinaryPrimitives.ReverseEndianness(Volatile.Read(ref MemoryMarshal.Cast<byte, ulong>(Bytes.AsSpan())[entry]));

    /// <summary>Changes an entry, wholly for every reader. Under the allocation lock.</summary>
    public void WriteEntry(int entry, ulong value) =>
        Volatile.Write(ref MemoryMarshal.Cast<byte, ulong>(Bytes.AsSpan())[entry], BinaryPrimitives.ReverseEndianness(value));
}
