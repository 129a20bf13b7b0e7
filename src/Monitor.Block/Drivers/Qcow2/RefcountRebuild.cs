using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Makes new refcounts for an image whose dirty bit says that the old ones are not to be trusted (qcow2 spec, "Dirty bit").</summary>
/// <remarks>
/// Idea: count what the tables refer to, write a new refcount table and its blocks behind everything, and switch to them by the one
/// header sector that also clears the dirty bit; a crash leaves the image as it was. The old structures are free afterwards because
/// nothing counts them. Images with snapshots or stored bitmaps are refused: those refer to clusters too.
/// Cost: every L2 table is read once; four bytes of memory per cluster of the file.
/// </remarks>
internal sealed class RefcountRebuild
{
    private readonly ImageFile _file;
    private readonly Qcow2HeaderCluster _first;
    private readonly int _clusterBits;
    private readonly RefcountWidth _width;
    private readonly uint[] _counts;

    private RefcountRebuild(ImageFile file, Qcow2HeaderCluster first)
    {
        _file = file;
        _first = first;
        _clusterBits = (int)first.Header.ClusterBits;
        _width = new RefcountWidth((int)first.Header.RefcountOrder);
        _counts = new uint[(file.SizeBytes + ClusterBytes - 1) >> _clusterBits];
    }

    private int ClusterBytes => 1 << _clusterBits;

    /// <summary>Rebuilds the refcounts; the header then points at them and is clean.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="first">Its first cluster.</param>
    /// <param name="l1">The active L1 table.</param>
    /// <returns>The new refcount table.</returns>
    /// <exception cref="QmpException">The image has more than refcounts to repair, or refers to clusters in ways not counted here.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static async ValueTask<ulong[]> RunAsync(ImageFile file, Qcow2HeaderCluster first, ulong[] l1)
    {
        if (first.Header.SnapshotCount > 0 || first.Find(Qcow2BitmapExtension.Magic) is not null)
        {
            throw new QmpException("qcow2: Image was not closed and must be repaired ('qemu-img check -r all'); cannot be opened read/write");
        }

        DaemonLog.Warn("Block", "qcow2: the image was not closed, its refcounts are rebuilt");
        var rebuild = new RefcountRebuild(file, first);
        await rebuild.CountAsync(l1).ConfigureAwait(false);
        return await rebuild.WriteAsync().ConfigureAwait(false);
    }

    private async ValueTask CountAsync(ulong[] l1)
    {
        Qcow2Header header = _first.Header;
        Refer(0, ClusterBytes, exclusive: true);
        Refer((long)header.L1Offset, header.L1Entries * (long)sizeof(ulong), exclusive: true);
        byte[] table = new byte[ClusterBytes];
        foreach (ulong entry in l1)
        {
            long offset = (long)(entry & Qcow2Format.OffsetMask);
            if (offset != 0)
            {
                Refer(offset, ClusterBytes, exclusive: true);
                await _file.ReadAsync(offset, table, BlkdebugEvent.L2Load).ConfigureAwait(false);
                CountTable(table);
            }
        }
    }

    private void CountTable(ReadOnlySpan<byte> table)
    {
        for (; !table.IsEmpty; table = table[sizeof(ulong)..])
        {
            var entry = new L2Entry(BinaryPrimitives.ReadUInt64BigEndian(table));
            switch (entry.Kind)
            {
                case L2EntryKind.Normal or L2EntryKind.ZeroAllocated:
                    Refer(entry.HostOffset, ClusterBytes, exclusive: true);
                    break;
                case L2EntryKind.Compressed:
                    (long start, int length) = entry.CompressedRange(_clusterBits);
                    Refer(start, (int)Math.Min(length, _file.SizeBytes - start), exclusive: false);
                    break;
                default:
                    break;
            }
        }
    }

    private void Refer(long offset, long bytes, bool exclusive)
    {
        bool sound = bytes > 0 && offset + bytes <= (long)_counts.Length << _clusterBits && (!exclusive || (offset & (ClusterBytes - 1)) == 0);
        for (long cluster = offset >> _clusterBits; sound && cluster << _clusterBits < offset + bytes; cluster++)
        {
            _counts[cluster]++;
            sound = exclusive ? _counts[cluster] == 1 : _counts[cluster] <= _width.Maximum;
        }

        if (!sound)
        {
            throw new QmpException("qcow2: Image is corrupt; cannot be opened read/write");
        }
    }

    private async ValueTask<ulong[]> WriteAsync()
    {
        long perBlock = _width.EntriesIn(ClusterBytes);
        (long tableClusters, long blocks) = (1, 1);
        while (blocks * perBlock < _counts.Length + tableClusters + blocks || tableClusters << _clusterBits < blocks * sizeof(ulong))
        {
            blocks = (_counts.Length + tableClusters + blocks + perBlock - 1) / perBlock;
            tableClusters = ((blocks * sizeof(ulong)) + ClusterBytes - 1) >> _clusterBits;
        }

        if (tableClusters << _clusterBits > Qcow2Format.MaximumRefcountTableBytes)
        {
            throw new BlockIoException(Errno.EFBIG);
        }

        ulong[] table = new ulong[(tableClusters << _clusterBits) / sizeof(ulong)];
        byte[] tableBytes = new byte[tableClusters << _clusterBits];
        for (int i = 0; i < blocks; i++)
        {
            table[i] = (ulong)(_counts.Length + tableClusters + i) << _clusterBits;
            BinaryPrimitives.WriteUInt64BigEndian(tableBytes.AsSpan(i * sizeof(ulong)), table[i]);
            await _file.WriteAsync((long)table[i], Block(i * perBlock, _counts.Length + tableClusters + blocks), BlkdebugEvent.RefblockAllocWriteBlocks)
                .ConfigureAwait(false);
        }

        long place = (long)_counts.Length << _clusterBits;
        await _file.WriteAsync(place, tableBytes, BlkdebugEvent.RefblockAllocWriteTable).ConfigureAwait(false);
        await _file.FlushAsync().ConfigureAwait(false);
        Qcow2Header header = _first.Header;
        (header.RefcountTableOffset, header.RefcountTableClusters) = ((ulong)place, (uint)tableClusters);
        header.Incompatible &= ~Qcow2IncompatibleFeatures.Dirty;
        await _first.SwitchAsync(_file).ConfigureAwait(false);
        return table;
    }

    /// <summary>One block: what was counted, and 1 for the new structures behind it.</summary>
    private byte[] Block(long firstCluster, long end)
    {
        byte[] block = new byte[ClusterBytes];
        for (int i = 0; i < _width.EntriesIn(block.Length) && firstCluster + i < end; i++)
        {
            _width.Write(block, i, firstCluster + i < _counts.Length ? _counts[firstCluster + i] : 1);
        }

        return block;
    }
}
