using System.Security.Cryptography;

namespace Monitor.Block.Bitmaps;

/// <content>The bits as bytes: the bit order of the qcow2 bitmap data, least significant bit first.</content>
public sealed partial class HierarchicalBitmap
{
    private const int HashPiece = 128 * BitmapLeaf.DataBytes;

    /// <summary>Bytes of the whole bitmap data: one bit per granule, rounded up to whole bytes.</summary>
    public long DataLength => (_granules + 7) >> 3;

    /// <summary>Copies bitmap data out, in the bit order of the qcow2 bitmap data: bit 0 of byte 0 is the first granule.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 512 (a leaf).</param>
    /// <param name="destination">Filled whole; zeros past the last granule.</param>
    public void ReadData(long dataOffset, Span<byte> destination)
    {
        for (long index = LeafIndexOf(dataOffset); destination.Length > 0; index++)
        {
            int count = Math.Min(BitmapLeaf.DataBytes, destination.Length);
            if (LeafAt(index) is { } leaf)
                leaf.Data[..count].CopyTo(destination);
            else
                destination[..count].Clear();
            destination = destination[count..];
        }
    }

    /// <summary>Replaces a part of the content by bitmap data; bits past the last granule are ignored.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 512 (a leaf).</param>
    /// <param name="source">The data, LSB first; only the data's last piece may be no multiple of 512 bytes.</param>
    /// <param name="like">A bitmap that may hold the same here, used by nobody else meanwhile: memory is shared where it does.</param>
    public void WriteData(long dataOffset, ReadOnlySpan<byte> source, HierarchicalBitmap? like = null)
    {
        for (long index = LeafIndexOf(dataOffset); source.Length > 0 && index << GranulesPerLeafBits < _granules; index++)
        {
            int count = Math.Min(BitmapLeaf.DataBytes, source.Length);
            int granules = (int)Math.Min(BitmapLeaf.Granules, _granules - (index << GranulesPerLeafBits));
            BitmapLeaf? same = granules == BitmapLeaf.Granules ? like?.LeafAt(index) : null;
            ReplaceLeaf(index, BitmapLeaf.FromData(source[..count], granules, same));
            source = source[count..];
        }
    }

    /// <summary>Makes dirty all granules of a stretch of bitmap data.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data.</param>
    /// <param name="length">Bytes of bitmap data.</param>
    public void SetData(long dataOffset, long length) => SetGranules(dataOffset << 3, Math.Min(_granules, (dataOffset + length) << 3) - 1);

    /// <summary>Whether a stretch of bitmap data is all zero or all one, so that it needs no storage.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 512 (a leaf).</param>
    /// <param name="length">Bytes, a multiple of 512, above 0.</param>
    public BitmapUniformity FindUniformity(long dataOffset, long length)
    {
        long first = LeafIndexOf(dataOffset);
        long end = first + LeafIndexOf(length);
        long dirty = NextLeaf(first);
        if (dirty < 0 || dirty >= end)
            return BitmapUniformity.Zeros;
        for (long index = first; index < end; index++)
        {
            if (LeafAt(index)?.Count != BitmapLeaf.Granules)
                return BitmapUniformity.Mixed;
        }

        return BitmapUniformity.Ones;
    }

    /// <summary>
    /// The SHA-256 of the finest layer, as QEMU's <c>x-debug-block-dirty-bitmap-sha256</c> takes it: whole little-endian 64-bit words, at
    /// least one.
    /// </summary>
    /// <returns>Lower-case hexadecimal.</returns>
    public string Sha256()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long length = Math.Max(8, ((_granules + 63) >> 6) << 3);
        byte[] buffer = new byte[Math.Min(length, HashPiece)];
        for (long position = 0; position < length; position += buffer.Length)
        {
            Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - position));
            ReadData(position, piece);
            hash.AppendData(piece);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static long LeafIndexOf(long dataOffset)
    {
        if ((dataOffset & (BitmapLeaf.DataBytes - 1)) != 0)
            throw new ArgumentException("Bitmap data is addressed by whole leaves.", nameof(dataOffset));
        return dataOffset / BitmapLeaf.DataBytes;
    }
}
