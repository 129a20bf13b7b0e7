using System.Numerics;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>How much of the metadata is kept in memory.</summary>
/// <param name="L2Bytes">Bytes of L2 tables.</param>
/// <param name="RefcountBytes">Bytes of refcount blocks.</param>
/// <param name="SliceBytes">Bytes of an L2 table read and written at once.</param>
internal readonly record struct Qcow2CacheSizes(long L2Bytes, long RefcountBytes, int SliceBytes)
{
    private const long DefaultL2Bytes = 32 << 20;
    private const int DefaultSliceBytes = 4096;
    private const int LeastRefcountClusters = 4;

    /// <summary>Works the sizes out from the options; memory is used only as it fills.</summary>
    /// <param name="options">The client's, or null for the defaults.</param>
    /// <param name="header">The image's header.</param>
    /// <exception cref="QmpException">The options contradict each other or the image.</exception>
    public static Qcow2CacheSizes From(BlockdevOptionsQcow2? options, Qcow2Header header)
    {
        RefuseNegative("l2-cache-size", options?.L2CacheSize);
        RefuseNegative("l2-cache-entry-size", options?.L2CacheEntrySize);
        RefuseNegative("refcount-cache-size", options?.RefcountCacheSize);
        RefuseNegative("cache-size", options?.CacheSize);
        if (options?.CacheCleanInterval is < 0 or > uint.MaxValue)
        {
            throw new QmpException("Cache clean interval too big");
        }

        long entry = options?.L2CacheEntrySize ?? Math.Min(DefaultSliceBytes, header.ClusterBytes);
        if (entry < Qcow2Format.SectorBytes || entry > header.ClusterBytes || !BitOperations.IsPow2(entry))
        {
            throw new QmpException($"L2 cache entry size must be a power of two between 512 and the cluster size ({header.ClusterBytes})");
        }

        long wholeDisk = RoundUp((long)(header.SizeBytes >> (int)header.ClusterBits << L2Layout.For(header).EntryBits), header.ClusterBytes);
        long leastRefcount = (long)LeastRefcountClusters << (int)header.ClusterBits;
        (long l2, long refcount) = options?.CacheSize is { } both
            ? Split(both, options.L2CacheSize, options.RefcountCacheSize, wholeDisk, leastRefcount)
            : (options?.L2CacheSize ?? DefaultL2Bytes, options?.RefcountCacheSize ?? leastRefcount);
        return new Qcow2CacheSizes(Math.Min(l2, wholeDisk), Math.Max(refcount, leastRefcount), (int)entry);
    }

    private static (long L2, long Refcount) Split(long both, long? l2, long? refcount, long wholeDisk, long leastRefcount)
    {
        if (l2 is not null && refcount is not null)
        {
            throw new QmpException("cache-size, l2-cache-size and refcount-cache-size may not be set at the same time");
        }

        if (l2 > both)
        {
            throw new QmpException("l2-cache-size may not exceed cache-size");
        }

        if (refcount > both)
        {
            throw new QmpException("refcount-cache-size may not exceed cache-size");
        }

        long l2Part = l2 ?? (refcount is not null ? both - refcount.Value : Math.Min(wholeDisk, Math.Max(0, both - leastRefcount)));
        return (l2Part, refcount ?? both - l2Part);
    }

    private static void RefuseNegative(string name, long? bytes)
    {
        if (bytes < 0)
        {
            throw new QmpException($"Parameter '{name}' expects a non-negative number below 2^64");
        }
    }

    private static long RoundUp(long value, long unit) => (value + unit - 1) / unit * unit;
}
