using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>What precedes the data of a structured reply's chunk.</summary>
/// <param name="Flags">Whether it is the last.</param>
/// <param name="Type">What it holds.</param>
/// <param name="Cookie">The request's.</param>
/// <param name="Length">Bytes of data that follow.</param>
public readonly record struct NbdChunkHeader(NbdChunkFlags Flags, NbdChunkType Type, ulong Cookie, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = 20;

    /// <summary>Reads a header.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="header">What was read.</param>
    /// <returns>Whether the magic word is right.</returns>
    public static bool TryRead(ReadOnlySpan<byte> source, out NbdChunkHeader header)
    {
        header = new NbdChunkHeader(
            (NbdChunkFlags)BinaryPrimitives.ReadUInt16BigEndian(source[4..]),
            (NbdChunkType)BinaryPrimitives.ReadUInt16BigEndian(source[6..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt32BigEndian(source[16..]));
        return BinaryPrimitives.ReadUInt32BigEndian(source) == NbdProtocol.ChunkMagic;
    }

    /// <summary>Writes the header.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, NbdProtocol.ChunkMagic);
        BinaryPrimitives.WriteUInt16BigEndian(destination[4..], (ushort)Flags);
        BinaryPrimitives.WriteUInt16BigEndian(destination[6..], (ushort)Type);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Cookie);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], Length);
    }
}
