using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>What precedes the data of a reply to an option.</summary>
/// <param name="Option">The option that is answered.</param>
/// <param name="Reply">The kind of answer.</param>
/// <param name="Length">Bytes of data that follow.</param>
public readonly record struct NbdOptionReplyHeader(NbdOption Option, NbdOptionReply Reply, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 20;

    /// <summary>Reads a header.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>Whether the magic word is right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdOptionReplyHeader header)
    {
        header = new NbdOptionReplyHeader(
            (NbdOption)BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            (NbdOptionReply)BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[16..]));
        return BinaryPrimitives.ReadUInt64BigEndian(source) == NbdProtocol.OptionReplyMagic;
    }

    /// <summary>Writes the header.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, NbdProtocol.OptionReplyMagic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], (uint)Option);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], (uint)Reply);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], Length);
    }
}
