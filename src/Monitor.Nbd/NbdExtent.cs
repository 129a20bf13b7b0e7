using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>One run of a block status: how long, and what its meta context says of it.</summary>
/// <param name="Length">Bytes; at least 1.</param>
/// <param name="Flags">Their meaning is the context's, such as <see cref="NbdAllocationFlags"/>.</param>
public readonly record struct NbdExtent(uint Length, uint Flags)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 8;

    /// <summary>Reads an extent.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    public static NbdExtent Read(ReadOnlySpan<byte> source) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(source), BinaryPrimitives.ReadUInt32BigEndian(source[4..]));

    /// <summary>Writes the extent.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination) => BinaryPrimitives.WriteUInt64BigEndian(destination, ((ulong)Length << 32) | Flags);
}
