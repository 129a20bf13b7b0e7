using System.IO.Compression;
using System.Runtime.InteropServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Decompresses one cluster: raw deflate, or a zstd frame by the system's libzstd.</summary>
internal static unsafe partial class CompressedCluster
{
    /// <summary>Fills <paramref name="cluster"/>.</summary>
    /// <param name="type">The header's compression type: 0 zlib, 1 zstd.</param>
    /// <param name="compressed">The data; bytes behind its end are ignored.</param>
    /// <param name="compressedBytes">How many there are.</param>
    /// <param name="cluster">Filled wholly.</param>
    /// <exception cref="BlockIoException">EIO: the data is damaged, or libzstd is not installed.</exception>
    public static void Decompress(byte type, byte* compressed, int compressedBytes, Span<byte> cluster)
    {
        bool good;
        try
        {
            good = type == 0 ? Inflate(compressed, compressedBytes, cluster) : DecompressZstd(compressed, compressedBytes, cluster);
        }
        catch (Exception e) when (e is InvalidDataException or DllNotFoundException)
        {
            throw new BlockIoException(Errno.EIO, e.Message);
        }

        if (!good)
        {
            throw new BlockIoException(Errno.EIO, "A compressed cluster is damaged");
        }
    }

    private static bool Inflate(byte* compressed, int compressedBytes, Span<byte> cluster)
    {
        using var source = new UnmanagedMemoryStream(compressed, compressedBytes);
        using var inflater = new DeflateStream(source, CompressionMode.Decompress);
        return inflater.ReadAtLeast(cluster, cluster.Length, throwOnEndOfStream: false) == cluster.Length;
    }

    private static bool DecompressZstd(byte* compressed, int compressedBytes, Span<byte> cluster)
    {
        nuint frame = ZSTD_findFrameCompressedSize(compressed, (nuint)compressedBytes);
        if (ZSTD_isError(frame) != 0)
        {
            return false;
        }

        fixed (byte* destination = cluster)
        {
            return ZSTD_decompress(destination, (nuint)cluster.Length, compressed, frame) == (nuint)cluster.Length;
        }
    }

    [LibraryImport("libzstd.so.1")]
    private static partial nuint ZSTD_findFrameCompressedSize(byte* source, nuint sourceBytes);

    [LibraryImport("libzstd.so.1")]
    private static partial uint ZSTD_isError(nuint code);

    [LibraryImport("libzstd.so.1")]
    private static partial nuint ZSTD_decompress(byte* destination, nuint capacity, byte* source, nuint sourceBytes);
}
