using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>A simple reply; the bytes of a successful read follow it.</summary>
/// <param name="Error">What went wrong, if anything.</param>
/// <param name="Cookie">The request's.</param>
public readonly record struct NbdSimpleReply(NbdError Error, ulong Cookie)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 16;

    /// <summary>Reads a reply.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="reply">What was read.</param>
    /// <returns>Whether the magic word is right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdSimpleReply reply)
    {
        reply = new NbdSimpleReply(
            (NbdError)BinaryPrimitives.ReadUInt32BigEndian(source[4..]), BinaryPrimitives.ReadUInt64BigEndian(source[8..]));
        return BinaryPrimitives.ReadUInt32BigEndian(source) == NbdProtocol.SimpleReplyMagic;
    }

    /// <summary>Writes the reply.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdProtocol.SimpleReplyMagic);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], (uint)Error);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Cookie);
    }
}
