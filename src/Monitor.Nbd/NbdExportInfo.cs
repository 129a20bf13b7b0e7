using System.Buffers.Binary;

namespace Monitor.Nbd;

/// <summary>The data of <see cref="NbdInfo.Export"/>, and of the reply to <see cref="NbdOption.ExportName"/>.</summary>
/// <param name="SizeBytes">The export's length in bytes.</param>
/// <param name="Flags">What the export can do.</param>
public readonly record struct NbdExportInfo(ulong SizeBytes, NbdTransmissionFlags Flags)
{
    /// <summary>Bytes on the wire, without the type of information.</summary>
    public const int Size = 10;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    public static NbdExportInfo Read(ReadOnlySpan<byte> source) => new(
        BinaryPrimitives.ReadUInt64BigEndian(source), (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(source[8..]));

    /// <summary>Writes it.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, SizeBytes);
        BinaryPrimitives.WriteUInt16BigEndian(destination[8..], (ushort)Flags);
    }
}
