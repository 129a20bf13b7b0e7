using System.Buffers.Binary;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One entry of the bitmap directory (qcow2 spec, "Bitmap directory").</summary>
internal sealed record Qcow2BitmapDirectoryEntry
{
    /// <summary>The one type that exists: a dirty tracking bitmap.</summary>
    internal const byte DirtyTracking = 1;

    private const int FixedSize = 24;

    /// <summary>Where the table begins, cluster-aligned.</summary>
    internal required ulong TableOffset { get; init; }

    /// <summary>Entries in the table.</summary>
    internal required uint TableSize { get; init; }

    /// <summary>The flags, unknown ones included.</summary>
    internal required Qcow2BitmapFlags Flags { get; init; }

    /// <summary>The sort of bitmap.</summary>
    internal byte Type { get; init; } = DirtyTracking;

    /// <summary>Log2 of the bytes per bit.</summary>
    internal required byte GranularityBits { get; init; }

    /// <summary>Bytes of extra data, which nobody defined yet.</summary>
    internal uint ExtraDataSize { get; init; }

    /// <summary>The name's bytes as the image has them.</summary>
    internal required byte[] NameBytes { get; init; }

    /// <summary>Bytes on disk, padded to a multiple of 8.</summary>
    internal long Size => SizeOf(NameBytes.Length, ExtraDataSize);

    /// <summary>Bytes on disk of an entry with a name of so many bytes and no extra data.</summary>
    internal static long SizeOf(int nameBytes) => SizeOf(nameBytes, 0);

    /// <summary>Reads one entry; checks only that it lies inside the source.</summary>
    /// <param name="source">The directory from this entry on.</param>
    /// <returns>Null if the entry reaches past the end.</returns>
    internal static Qcow2BitmapDirectoryEntry? TryRead(ReadOnlySpan<byte> source)
    {
        if (source.Length < FixedSize)
            return null;
        int nameSize = BinaryPrimitives.ReadUInt16BigEndian(source[18..]);
        uint extraSize = BinaryPrimitives.ReadUInt32BigEndian(source[20..]);
        if (SizeOf(nameSize, extraSize) > source.Length)
            return null;
        return new Qcow2BitmapDirectoryEntry
        {
            TableOffset = BinaryPrimitives.ReadUInt64BigEndian(source),
            TableSize = BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            Flags = (Qcow2BitmapFlags)BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            Type = source[16],
            GranularityBits = source[17],
            ExtraDataSize = extraSize,
            NameBytes = source.Slice(FixedSize + (int)extraSize, nameSize).ToArray(),
        };
    }

    /// <summary>Writes an entry without extra data, padding included.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes, all zero.</param>
    internal void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, TableOffset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], TableSize);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], (uint)Flags);
        destination[16] = Type;
        destination[17] = GranularityBits;
        BinaryPrimitives.WriteUInt16BigEndian(destination[18..], (ushort)NameBytes.Length);
        NameBytes.CopyTo(destination[FixedSize..]);
    }

    private static long SizeOf(int nameBytes, uint extraSize) => ((long)FixedSize + extraSize + nameBytes + 7) & ~7L;
}
