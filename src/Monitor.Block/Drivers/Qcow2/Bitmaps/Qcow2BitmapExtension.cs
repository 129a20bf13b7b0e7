using System.Buffers.Binary;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The 24 bytes of the bitmaps header extension (qcow2 spec, "Bitmaps extension"): where the bitmap directory is.</summary>
/// <param name="Count">Bitmaps in the directory, 1 or more.</param>
/// <param name="DirectorySize">Bytes of the directory.</param>
/// <param name="DirectoryOffset">Its place in the image file, cluster-aligned.</param>
internal readonly record struct Qcow2BitmapExtension(uint Count, ulong DirectorySize, ulong DirectoryOffset)
{
    /// <summary>The extension's type in the header.</summary>
    internal const uint Magic = 0x23852875;

    /// <summary>Bytes of its data.</summary>
    internal const int Size = 24;

    /// <summary>Reads the extension's data; checks nothing but the reserved field.</summary>
    /// <param name="source">At least <see cref="Size"/> bytes.</param>
    /// <param name="extension">What it says.</param>
    /// <returns>Whether the reserved field is 0, as it must be.</returns>
    internal static bool TryRead(ReadOnlySpan<byte> source, out Qcow2BitmapExtension extension)
    {
        extension = new Qcow2BitmapExtension(
            BinaryPrimitives.ReadUInt32BigEndian(source),
            BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            BinaryPrimitives.ReadUInt64BigEndian(source[16..]));
        return BinaryPrimitives.ReadUInt32BigEndian(source[4..]) == 0;
    }

    /// <summary>Writes the extension's data.</summary>
    /// <param name="destination">At least <see cref="Size"/> bytes.</param>
    internal void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Count);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], 0);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], DirectorySize);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], DirectoryOffset);
    }
}
