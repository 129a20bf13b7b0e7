using System.Security.Cryptography;

namespace Interop;

/// <summary>A dirty bitmap as plainly as it can be written.</summary>
internal sealed class TwinBitmap(long sizeBytes, uint granularity)
{
    private readonly bool[] _bits = new bool[(sizeBytes + granularity - 1) / granularity];

    /// <summary>Whether it records.</summary>
    internal bool IsEnabled { get; set; } = true;

    internal void Clear() => Array.Clear(_bits);

    internal void Set(long offset, long length)
    {
        long end = Math.Min(offset + length, sizeBytes);
        for (long at = offset / granularity; at * granularity < end; at++)
            _bits[at] = true;
    }

    internal void Merge(TwinBitmap source)
    {
        for (int i = 0; i < source._bits.Length; i++)
        {
            if (source._bits[i])
                Set(i * source.Granularity, source.Granularity);
        }
    }

    internal string Sha256()
    {
        byte[] bytes = new byte[(_bits.Length + 63) / 64 * 8];
        for (int i = 0; i < _bits.Length; i++)
            bytes[i / 8] |= (byte)(_bits[i] ? 1 << (i % 8) : 0);
        return Convert.ToHexStringLower(SHA256.HashData(bytes));
    }

    private long Granularity => granularity;
}
