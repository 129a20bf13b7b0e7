using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdInfo.BlockSize"/>, in bytes.</summary>
/// <param name="Minimum">Offsets and lengths are multiples of it; a power of two.</param>
/// <param name="Preferred">The smallest size that costs no extra work; a power of two.</param>
/// <param name="Maximum">The longest payload.</param>
public readonly record struct NbdBlockSizes(uint Minimum, uint Preferred, uint Maximum)
{
    /// <summary>Bytes on the wire, without the type of information.</summary>
    public const int Size = 12;

    /// <summary>Reads them.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    public static NbdBlockSizes Read(ReadOnlySpan<byte> source) => new(
        BinaryPrimitives.ReadUInt32BigEndian(source),
        BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
        BinaryPrimitives.ReadUInt32BigEndian(source[8..]));

    /// <summary>Writes them.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Minimum);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Preferred);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], Maximum);
    }
}
