using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>A whole <see cref="NbdChunkType.OffsetHole"/> chunk.</summary>
/// <param name="Flags">Whether it is the last.</param>
/// <param name="Cookie">The request's.</param>
/// <param name="Offset">Position in the export.</param>
/// <param name="Length">Bytes that read as zeroes; at least 1.</param>
public readonly record struct NbdHoleChunk(NbdChunkFlags Flags, ulong Cookie, ulong Offset, uint Length)
{
    /// <summary>Bytes on the wire.</summary>
    public const int Size = NbdChunkHeader.Size + 12;

    /// <summary>Reads what follows the chunk's header.</summary>
    /// <param name="header">The chunk's header.</param>
    /// <param name="source">At least 12 bytes.</param>
    public static NbdHoleChunk Read(in NbdChunkHeader header, ReadOnlySpan<byte> source) => new(
        header.Flags, header.Cookie, BinaryPrimitives.ReadUInt64BigEndian(source), BinaryPrimitives.ReadUInt32BigEndian(source[8..]));

    /// <summary>Writes the chunk.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        new NbdChunkHeader(Flags, NbdChunkType.OffsetHole, Cookie, 12).Write(destination);
        BinaryPrimitives.WriteUInt64BigEndian(destination[NbdChunkHeader.Size..], Offset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[(NbdChunkHeader.Size + 8)..], Length);
    }
}
