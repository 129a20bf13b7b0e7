using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>A whole <see cref="NbdChunkType.OffsetData"/> chunk up to its bytes, which follow.</summary>
/// <param name="Flags">Whether it is the last.</param>
/// <param name="Cookie">The request's.</param>
/// <param name="Offset">Position of the bytes in the export.</param>
/// <param name="Length">Bytes that follow; at least 1.</param>
public readonly record struct NbdDataChunk(NbdChunkFlags Flags, ulong Cookie, ulong Offset, uint Length)
{
    /// <summary>Bytes on the wire before the data.</summary>
    public const int Size = NbdChunkHeader.Size + 8;

    /// <summary>Reads what follows the chunk's header.</summary>
    /// <param name="header">The chunk's header, its length at least 8.</param>
    /// <param name="source">At least 8 bytes.</param>
    public static NbdDataChunk Read(in NbdChunkHeader header, ReadOnlySpan<byte> source) =>
        new(header.Flags, header.Cookie, BinaryPrimitives.ReadUInt64BigEndian(source), header.Length - 8);

    /// <summary>Writes header and offset.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        new NbdChunkHeader(Flags, NbdChunkType.OffsetData, Cookie, 8 + Length).Write(destination);
        BinaryPrimitives.WriteUInt64BigEndian(destination[NbdChunkHeader.Size..], Offset);
    }
}
