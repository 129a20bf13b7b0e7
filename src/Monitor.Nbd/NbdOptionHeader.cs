using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>What precedes the data of an option.</summary>
/// <param name="Option">What is asked for.</param>
/// <param name="Length">Bytes of data that follow.</param>
public readonly record struct NbdOptionHeader(NbdOption Option, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    /// <summary>Reads a header.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>Whether the magic word is right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionHeader header)
    {
        header = new NbdOptionHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]), BinaryPrimitives.ReadUInt32BigEndian(source[12..]));
        return BinaryPrimitives.ReadUInt64BigEndian(source) == NbdProtocol.OptionMagic;
    }

    /// <summary>Writes the header.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdProtocol.OptionMagic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], (uint)Option);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], Length);
    }
}
