using System.Buffers.Binary;
using System.Text;

namespace Monitor.Nbd;

/// <summary>A whole <see cref="NbdChunkType.Error"/> chunk: the end of a failed request.</summary>
/// <param name="Cookie">The request's.</param>
/// <param name="Error">What went wrong.</param>
/// <param name="Message">Says it to people; at most <see cref="NbdProtocol.MaxStringBytes"/> bytes of UTF-8.</param>
public readonly record struct NbdErrorChunk(ulong Cookie, NbdError Error, string Message)
{
    /// <summary>Bytes on the wire.</summary>
    public int Size => NbdChunkHeader.Size + 6 + Encoding.UTF8.GetByteCount(Message);

    /// <summary>Reads what follows the chunk's header.</summary>
    /// <param name="header">The chunk's header.</param>
    /// <param name="source">The chunk's data.</param>
    /// <param name="chunk">What was read.</param>
    /// <returns>Whether the message lies within the data.</returns>
    public static bool TryRead(in NbdChunkHeader header, ReadOnlySpan<byte> source, out NbdErrorChunk chunk)
    {
        chunk = default;
        if (source.Length < 6)
        {
            return false;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(source[4..]);
        if (length > source.Length - 6)
        {
            return false;
        }

        chunk = new NbdErrorChunk(
            header.Cookie, (NbdError)BinaryPrimitives.ReadUInt32BigEndian(source), Encoding.UTF8.GetString(source.Slice(6, length)));
        return true;
    }

    /// <summary>Writes the chunk.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        Span<byte> data = destination[NbdChunkHeader.Size..];
        int length = Encoding.UTF8.GetBytes(Message, data[6..]);
        BinaryPrimitives.WriteUInt32BigEndian(data, (uint)Error);
        BinaryPrimitives.WriteUInt16BigEndian(data[4..], (ushort)length);
        new NbdChunkHeader(NbdChunkFlags.Done, NbdChunkType.Error, Cookie, (uint)(6 + length)).Write(destination);
    }
}
