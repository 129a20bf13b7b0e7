using System.Buffers.Binary;
using Monitor.Block.Bitmaps;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One bitmap's table in memory: where its data clusters are, or that they need none (qcow2 spec, "Bitmap table").</summary>
/// <param name="Offset">Where the table begins in the file.</param>
/// <param name="Entries">The entries as the file has them.</param>
internal sealed record Qcow2BitmapTable(long Offset, ulong[] Entries)
{
    private const ulong AllOnes = 1;
    private const ulong OffsetMask = 0x00fffffffffffe00;
    private const int MaxRequestBytes = 1 << 20;
    private const int MaxRunClusters = 63;

    /// <summary>Reads and checks a table.</summary>
    /// <exception cref="QmpException">An entry breaks the format or points outside the file or at metadata.</exception>
    internal static async ValueTask<Qcow2BitmapTable> ReadAsync(IQcow2BitmapHost host, Qcow2BitmapDirectoryEntry entry)
    {
        int length = checked((int)entry.TableSize * 8);
        bool fine = Qcow2BitmapDirectory.IsInsideFile(host, entry.TableOffset, length);
        ulong[] entries = new ulong[fine ? entry.TableSize : 0];
        if (fine)
        {
            byte[] bytes = new byte[length];
            await host.ReadAsync((long)entry.TableOffset, bytes).ConfigureAwait(false);
            for (int i = 0; i < entries.Length; i++)
            {
                entries[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(i * 8));
                fine &= IsValid(entries[i], host);
            }
        }

        if (fine)
            return new Qcow2BitmapTable((long)entry.TableOffset, entries);
        string name = Qcow2BitmapDirectory.NameOf(entry);
        throw new QmpException($"Could not read bitmap_table table from image for bitmap '{name}': Invalid argument");
    }

    /// <summary>Stores a bitmap: new data clusters where it is neither all zero nor all one, and a new table.</summary>
    /// <param name="host">The image.</param>
    /// <param name="content">The bits.</param>
    /// <param name="allocated">Gets every run of clusters allocated, so that a failure can give them back.</param>
    internal static async ValueTask<Qcow2BitmapTable> WriteAsync(
        IQcow2BitmapHost host, HierarchicalBitmap content, List<Qcow2ClusterRun> allocated)
    {
        ulong[] entries = new ulong[Qcow2BitmapDirectory.TableSizeFor(host, content.Granularity)];
        var mixed = new List<int>();
        for (int i = 0; i < entries.Length; i++)
        {
            BitmapUniformity uniformity = content.FindUniformity((long)i * host.ClusterSize, host.ClusterSize);
            entries[i] = uniformity == BitmapUniformity.Ones ? AllOnes : 0;
            if (uniformity == BitmapUniformity.Mixed)
                mixed.Add(i);
        }

        int clustersAtOnce = ClustersAtOnce(host);
        using IoBuffer buffer = IoBufferPool.Rent(clustersAtOnce * host.ClusterSize);
        for (int done = 0; done < mixed.Count; done += clustersAtOnce)
        {
            int count = Math.Min(clustersAtOnce, mixed.Count - done);
            long offset = await AllocateAsync(host, count, allocated).ConfigureAwait(false);
            for (int i = 0; i < count; i++)
            {
                int entry = mixed[done + i];
                content.ReadData((long)entry * host.ClusterSize, buffer.Memory.Span.Slice(i * host.ClusterSize, host.ClusterSize));
                entries[entry] = (ulong)(offset + ((long)i * host.ClusterSize));
            }

            await host.WriteAsync(offset, buffer.Memory[..(count * host.ClusterSize)]).ConfigureAwait(false);
        }

        return await WriteTableAsync(host, entries, allocated).ConfigureAwait(false);
    }

    /// <summary>Allocates contiguous clusters and notes them, on behalf of one thread of several.</summary>
    internal static async ValueTask<long> AllocateAsync(IQcow2BitmapHost host, long clusters, List<Qcow2ClusterRun> allocated)
    {
        long offset = await host.AllocateClustersAsync(clusters).ConfigureAwait(false);
        lock (allocated)
            allocated.Add(new Qcow2ClusterRun(offset, clusters));
        return offset;
    }

    /// <summary>Fills a clean bitmap from the data clusters.</summary>
    /// <param name="host">The image.</param>
    /// <param name="content">The bitmap.</param>
    /// <param name="like">One that may hold much the same and is not in use yet: memory is shared where it does.</param>
    internal async ValueTask LoadAsync(IQcow2BitmapHost host, HierarchicalBitmap content, HierarchicalBitmap? like)
    {
        int clustersAtOnce = ClustersAtOnce(host);
        using IoBuffer buffer = IoBufferPool.Rent(clustersAtOnce * host.ClusterSize);
        for (int i = 0; i < Entries.Length;)
        {
            long position = (long)i * host.ClusterSize;
            if (Entries[i] == AllOnes)
                content.SetData(position, host.ClusterSize);
            int count = DataRunAt(i, clustersAtOnce, host.ClusterSize);
            if (count > 0)
            {
                Memory<byte> data = buffer.Memory[..(count * host.ClusterSize)];
                await host.ReadAsync((long)(Entries[i] & OffsetMask), data).ConfigureAwait(false);
                content.WriteData(position, data.Span, like);
            }

            i += Math.Max(1, count);
        }
    }

    /// <summary>All clusters that the table and its data occupy, in runs.</summary>
    internal IEnumerable<Qcow2ClusterRun> Clusters(int clusterSize)
    {
        yield return new Qcow2ClusterRun(Offset, (Entries.Length * 8L + clusterSize - 1) / clusterSize);
        for (int i = 0; i < Entries.Length;)
        {
            int count = DataRunAt(i, int.MaxValue, clusterSize);
            if (count > 0)
                yield return new Qcow2ClusterRun((long)(Entries[i] & OffsetMask), count);
            i += Math.Max(1, count);
        }
    }

    /// <summary>What is moved by one request: up to 1 MiB, less than the smallest refcount block describes.</summary>
    private static int ClustersAtOnce(IQcow2BitmapHost host) => Math.Clamp(MaxRequestBytes / host.ClusterSize, 1, MaxRunClusters);

    /// <summary>How many entries from one on have data clusters that follow each other in the file; 0 if the first has none.</summary>
    private int DataRunAt(int first, int most, int clusterSize)
    {
        ulong offset = Entries[first] & OffsetMask;
        int count = 0;
        while (offset != 0 && count < most && first + count < Entries.Length && Entries[first + count] == offset + ((ulong)count * (ulong)clusterSize))
            count++;
        return count;
    }

    private static async ValueTask<Qcow2BitmapTable> WriteTableAsync(
        IQcow2BitmapHost host, ulong[] entries, List<Qcow2ClusterRun> allocated)
    {
        long clusters = (entries.Length * 8L + host.ClusterSize - 1) / host.ClusterSize;
        byte[] bytes = new byte[clusters * host.ClusterSize];
        for (int i = 0; i < entries.Length; i++)
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * 8), entries[i]);
        long offset = await AllocateAsync(host, clusters, allocated).ConfigureAwait(false);
        await host.WriteAsync(offset, bytes).ConfigureAwait(false);
        return new Qcow2BitmapTable(offset, entries);
    }

    private static bool IsValid(ulong entry, IQcow2BitmapHost host)
    {
        ulong offset = entry & OffsetMask;
        if (offset == 0)
            return entry is 0 or AllOnes;
        return entry == offset
            && offset % (ulong)host.ClusterSize == 0
            && Qcow2BitmapDirectory.IsInsideFile(host, offset, host.ClusterSize);
    }
}
