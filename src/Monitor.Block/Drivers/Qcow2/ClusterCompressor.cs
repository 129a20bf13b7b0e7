using System.Runtime.InteropServices;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Compresses one cluster by the system's libraries: raw deflate with a window of 4 KiB (all that other readers promise), or a zstd frame.</summary>
internal static unsafe partial class ClusterCompressor
{
    private const int WindowBits = -12;
    private const int MemoryLevel = 9;
    private const int DefaultLevel = -1;
    private const int Deflated = 8;
    private const int Finish = 4;
    private const int StreamEnd = 1;
    private const int OutOfRoom = 0;
    private const int NoProgress = -5;
    private const int ZstdDefaultLevel = 3;
    private const int ZstdOutOfRoom = 70;

    /// <summary>Compresses.</summary>
    /// <param name="type">The header's compression type: 0 zlib, 1 zstd.</param>
    /// <param name="cluster">The whole cluster.</param>
    /// <param name="destination">Gets the data.</param>
    /// <returns>Bytes of the data; 0 if there is no room for it, so that the cluster is better stored as it is.</returns>
    /// <exception cref="BlockIoException">EIO: the library is not installed or failed.</exception>
    public static int Compress(byte type, ReadOnlySpan<byte> cluster, Span<byte> destination)
    {
        try
        {
            return type == 0 ? Deflate(cluster, destination) : CompressZstd(cluster, destination);
        }
        catch (DllNotFoundException e)
        {
            throw new BlockIoException(Errno.EIO, e.Message);
        }
    }

    private static int Deflate(ReadOnlySpan<byte> cluster, Span<byte> destination)
    {
        ZStream stream = default;
        fixed (byte* source = cluster, packed = destination)
        fixed (byte* version = "1.2.11"u8)
        {
            if (deflateInit2_(&stream, DefaultLevel, Deflated, WindowBits, MemoryLevel, 0, version, sizeof(ZStream)) != 0)
            {
                throw new BlockIoException(Errno.EIO, "zlib could not be set up");
            }

            stream.NextIn = source;
            stream.AvailableIn = (uint)cluster.Length;
            stream.NextOut = packed;
            stream.AvailableOut = (uint)destination.Length;
            int result = deflate(&stream, Finish);
            _ = deflateEnd(&stream);
            return result switch
            {
                StreamEnd => destination.Length - (int)stream.AvailableOut,
                OutOfRoom or NoProgress => 0,
                _ => throw new BlockIoException(Errno.EIO, "A cluster could not be compressed"),
            };
        }
    }

    private static int CompressZstd(ReadOnlySpan<byte> cluster, Span<byte> destination)
    {
        fixed (byte* source = cluster, packed = destination)
        {
            nuint result = ZSTD_compress(packed, (nuint)destination.Length, source, (nuint)cluster.Length, ZstdDefaultLevel);
            return ZSTD_isError(result) == 0 ? (int)result
                : ZSTD_getErrorCode(result) == ZstdOutOfRoom ? 0
                : throw new BlockIoException(Errno.EIO, "A cluster could not be compressed");
        }
    }

    [LibraryImport("libz.so.1")]
    private static partial int deflateInit2_(
        ZStream* stream, int level, int method, int windowBits, int memoryLevel, int strategy, byte* version, int streamBytes);

    [LibraryImport("libz.so.1")]
    private static partial int deflate(ZStream* stream, int flush);

    [LibraryImport("libz.so.1")]
    private static partial int deflateEnd(ZStream* stream);

    [LibraryImport("libzstd.so.1")]
    private static partial nuint ZSTD_compress(byte* destination, nuint capacity, byte* source, nuint sourceBytes, int level);

    [LibraryImport("libzstd.so.1")]
    private static partial uint ZSTD_isError(nuint code);

    [LibraryImport("libzstd.so.1")]
    private static partial int ZSTD_getErrorCode(nuint code);

    /// <summary>zlib's <c>z_stream</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct ZStream
    {
        public byte* NextIn;
        public uint AvailableIn;
        public nuint TotalIn;
        public byte* NextOut;
        public uint AvailableOut;
        public nuint TotalOut;
        public byte* Message;
        public void* State;
        public void* Allocate;
        public void* Free;
        public void* Opaque;
        public int DataType;
        public nuint Adler;
        public nuint Reserved;
    }
}
