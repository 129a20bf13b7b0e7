using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>One request of the transmission phase; the payload of a write follows it.</summary>
/// <param name="Flags">How it is to be done.</param>
/// <param name="Command">What is to be done.</param>
/// <param name="Cookie">Chosen by the client, given back in the reply.</param>
/// <param name="Offset">Position in bytes.</param>
/// <param name="Length">Bytes.</param>
public readonly record struct NbdRequestHeader(NbdCommandFlags Flags, NbdCommand Command, ulong Cookie, ulong Offset, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 28;

    /// <summary>Reads a header.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>Whether the magic word is right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdRequestHeader header)
    {
        header = new NbdRequestHeader(
            (NbdCommandFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdCommand)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[24..]));
        return BinaryPrimitives.ReadUInt32BigEndian(source) == NbdProtocol.RequestMagic;
    }

    /// <summary>Writes the header.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdProtocol.RequestMagic);
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)Flags);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], (ushort)Command);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Cookie);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], Offset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[24..], Length);
    }
}
