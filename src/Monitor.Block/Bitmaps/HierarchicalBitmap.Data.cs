using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Monitor.Block.Bitmaps;

/// <content>The bits as bytes: the bit order of the qcow2 bitmap data, least significant bit first.</content>
public sealed partial class HierarchicalBitmap
{
    /// <summary>Bytes of the whole bitmap data: one bit per granule, rounded up to whole bytes.</summary>
    public long DataLength => (_granules + 7) >> 3;

    /// <summary>Copies bitmap data out, in the bit order of the qcow2 bitmap data: bit 0 of byte 0 is the first granule.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 8.</param>
    /// <param name="destination">Filled whole; zeros past the last granule.</param>
    public void ReadData(long dataOffset, Span<byte> destination)
    {
        Span<byte> tail = stackalloc byte[8];
        for (long word = WordAt(dataOffset); destination.Length > 0; word++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(tail, ReadWord(word));
            int count = Math.Min(8, destination.Length);
            tail[..count].CopyTo(destination);
            destination = destination[count..];
        }
    }

    /// <summary>Replaces a part of the content by bitmap data; bits past the last granule are ignored.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 8.</param>
    /// <param name="source">The data, LSB first; only the data's last piece may be no multiple of 8 bytes.</param>
    public void WriteData(long dataOffset, ReadOnlySpan<byte> source)
    {
        Span<byte> tail = stackalloc byte[8];
        for (long word = WordAt(dataOffset); source.Length > 0 && word << 6 < _granules; word++)
        {
            int count = Math.Min(8, source.Length);
            tail.Clear();
            source[..count].CopyTo(tail);
            source = source[count..];
            ulong valid = MaskWithin(word, 0, _granules - 1);
            ulong bits = BinaryPrimitives.ReadUInt64LittleEndian(tail) & valid;
            SetBits(word, bits);
            ResetBits(word, ~bits);
        }
    }

    /// <summary>Makes dirty all granules of a stretch of bitmap data.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data.</param>
    /// <param name="length">Bytes of bitmap data.</param>
    public void SetData(long dataOffset, long length)
    {
        long first = dataOffset << 3;
        long end = Math.Min(_granules, (dataOffset + length) << 3);
        if (first < end)
            Set(first << _granularityBits, SizeBytes >= end << _granularityBits ? (end - first) << _granularityBits : long.MaxValue);
    }

    /// <summary>Whether a stretch of bitmap data is all zero or all one, so that it needs no storage.</summary>
    /// <param name="dataOffset">Byte offset into the bitmap data, a multiple of 8.</param>
    /// <param name="length">Bytes, a multiple of 8, above 0.</param>
    public BitmapUniformity FindUniformity(long dataOffset, long length)
    {
        long first = WordAt(dataOffset);
        long end = first + (length >> 3);
        long dirty = NextNonZeroWord(first);
        if (dirty < 0 || dirty >= end)
            return BitmapUniformity.Zeros;
        if (end << 6 > _granules)
            return BitmapUniformity.Mixed;
        for (long word = first; word < end; word++)
        {
            if (ReadWord(word) != ulong.MaxValue)
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
        Span<byte> buffer = stackalloc byte[512];
        long length = Math.Max(8, ((_granules + 63) >> 6) << 3);
        for (long position = 0; position < length; position += buffer.Length)
        {
            Span<byte> piece = buffer[..(int)Math.Min(buffer.Length, length - position)];
            ReadData(position, piece);
            hash.AppendData(piece);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static long WordAt(long dataOffset)
    {
        if ((dataOffset & 7) != 0)
            throw new ArgumentException("Bitmap data is addressed by whole words.", nameof(dataOffset));
        return dataOffset >> 3;
    }
}
