using System.Buffers.Binary;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One bitmap's table in memory: where its data clusters are, or that they need none (qcow2 spec, "Bitmap table").</summary>
/// <param name="Offset">Where the table begins in the file.</param>
/// <param name="Entries">The entries as the file has them.</param>
internal sealed record Qcow2BitmapTable(long Offset, ulong[] Entries)
{
    private const ulong AllOnes = 1;
    private const ulong OffsetMask = 0x00fffffffffffe00;

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
        byte[] cluster = new byte[host.ClusterSize];
        for (int i = 0; i < entries.Length; i++)
        {
            long position = (long)i * host.ClusterSize;
            BitmapUniformity uniformity = content.FindUniformity(position, host.ClusterSize);
            entries[i] = uniformity == BitmapUniformity.Ones ? AllOnes : 0;
            if (uniformity != BitmapUniformity.Mixed)
                continue;
            content.ReadData(position, cluster);
            long offset = await AllocateAsync(host, 1, allocated).ConfigureAwait(false);
            await host.WriteAsync(offset, cluster).ConfigureAwait(false);
            entries[i] = (ulong)offset;
        }

        return await WriteTableAsync(host, entries, allocated).ConfigureAwait(false);
    }

    /// <summary>Allocates contiguous clusters and notes them.</summary>
    internal static async ValueTask<long> AllocateAsync(IQcow2BitmapHost host, long clusters, List<Qcow2ClusterRun> allocated)
    {
        long offset = await host.AllocateClustersAsync(clusters).ConfigureAwait(false);
        allocated.Add(new Qcow2ClusterRun(offset, clusters));
        return offset;
    }

    /// <summary>Fills a clean bitmap from the data clusters.</summary>
    internal async ValueTask LoadAsync(IQcow2BitmapHost host, HierarchicalBitmap content)
    {
        byte[] cluster = new byte[host.ClusterSize];
        for (int i = 0; i < Entries.Length; i++)
        {
            long position = (long)i * host.ClusterSize;
            ulong offset = Entries[i] & OffsetMask;
            if (offset != 0)
            {
                await host.ReadAsync((long)offset, cluster).ConfigureAwait(false);
                content.WriteData(position, cluster);
            }
            else if (Entries[i] == AllOnes)
            {
                content.SetData(position, host.ClusterSize);
            }
        }
    }

    /// <summary>All clusters that the table and its data occupy.</summary>
    internal IEnumerable<Qcow2ClusterRun> Clusters(int clusterSize)
    {
        yield return new Qcow2ClusterRun(Offset, (Entries.Length * 8L + clusterSize - 1) / clusterSize);
        foreach (ulong entry in Entries)
        {
            if ((entry & OffsetMask) != 0)
                yield return new Qcow2ClusterRun((long)(entry & OffsetMask), 1);
        }
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
