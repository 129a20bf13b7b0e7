using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>A piece of an L2 table, or a refcount block, in memory. Bound to its index for good, so a late reader finds old entries, never another's.</summary>
/// <param name="index">Its number in the cache.</param>
/// <param name="hostOffset">Where it is stored.</param>
/// <param name="bytes">Its content in the image's byte order.</param>
internal sealed class MetadataBlock(long index, long hostOffset, byte[] bytes)
{
    private int _version;

    /// <summary>Its number in the cache.</summary>
    public long Index { get; } = index;

    /// <summary>Where it is stored; changes when a shared table is copied.</summary>
    public long HostOffset { get; set; } = hostOffset;

    /// <summary>The content in the image's byte order.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Differs from the image. Changed under the allocation lock.</summary>
    public bool IsDirty { get; set; }

    /// <summary>Used since the last look for something to evict.</summary>
    public bool IsRecent { get; set; }

    /// <summary>Holds an entry that must be checked before use.</summary>
    public bool IsSuspect { get; set; }

    /// <summary>Allocations under way that will change it; not evicted meanwhile.</summary>
    public int Pins { get; set; }

    /// <summary>An entry of one word as it is now; from any thread.</summary>
    public ulong ReadWord(int entry) => BinaryPrimitives.ReverseEndianness(Volatile.Read(ref Word(entry)));

    /// <summary>Changes an entry of one word, wholly for every reader. Under the allocation lock.</summary>
    public void WriteWord(int entry, ulong value) => Volatile.Write(ref Word(entry), BinaryPrimitives.ReverseEndianness(value));

    /// <summary>An entry of two words as it is now; from any thread.</summary>
    /// <remarks>A change makes the version odd, then even again: what was read while the version stood still and even is one entry.</remarks>
    public (ulong First, ulong Second) ReadWords(int entry)
    {
        var wait = default(SpinWait);
        while (true)
        {
            int version = Volatile.Read(ref _version);
            (ulong first, ulong second) = (Volatile.Read(ref Word(2 * entry)), Volatile.Read(ref Word((2 * entry) + 1)));
            Interlocked.MemoryBarrier();
            if ((version & 1) == 0 && Volatile.Read(ref _version) == version)
            {
                return (BinaryPrimitives.ReverseEndianness(first), BinaryPrimitives.ReverseEndianness(second));
            }

            wait.SpinOnce();
        }
    }

    /// <summary>Changes an entry of two words, wholly for every reader. Under the allocation lock.</summary>
    public void WriteWords(int entry, ulong first, ulong second)
    {
        Interlocked.Increment(ref _version);
        Word(2 * entry) = BinaryPrimitives.ReverseEndianness(first);
        Word((2 * entry) + 1) = BinaryPrimitives.ReverseEndianness(second);
        Interlocked.Increment(ref _version);
    }

    private ref ulong Word(int index) => ref MemoryMarshal.Cast<byte, ulong>(Bytes.AsSpan())[index];
}
