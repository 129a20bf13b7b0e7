using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>New tables for an image, built in free clusters beside the old ones and made the image's by one write of the header's first sector.</summary>
/// <remarks>
/// <para>Idea: refcounts, COPIED flags, the active L1 table and the snapshot table must all agree. So what changes is written anew where
/// nothing refers to it, and the sector that holds the tables' places switches from the old ones to the new ones: a crash or a full disk
/// at any moment leaves the old image or the new one, sound and without a leak.</para>
/// <para>Example, a snapshot of an image with one L2 table of two clusters: both clusters have two references now, so a copy of the table
/// without COPIED flags is written, and a new L1 table that points at it; the old L1 table, untouched, becomes the snapshot's. Refcount
/// blocks, refcount table and snapshot table are new; the old ones are free after the switch.</para>
/// <para>Cost: the refcount blocks are written once, every active L2 table is read and, if a flag in it changes, written. Nothing else
/// may change the image meanwhile.</para>
/// </remarks>
/// <param name="file">The image's file.</param>
/// <param name="first">Its first cluster.</param>
/// <param name="counts">The references of the new generation, those of the old structures that it replaces included.</param>
/// <param name="l1">The active L1 table; becomes the new one.</param>
/// <param name="refcountTable">The refcount table of the old generation.</param>
internal sealed class TableGeneration(ImageFile file, Qcow2HeaderCluster first, ReferenceCounts counts, ulong[] l1, ulong[] refcountTable)
{
    private readonly Qcow2Header _header = first.Header;
    private readonly RefcountWidth _width = new((int)first.Header.RefcountOrder);
    private readonly int _clusterBits = (int)first.Header.ClusterBits;
    private ulong[] _newRefcountTable = [];

    /// <summary>Where the active L1 table is after the switch.</summary>
    public ulong L1Offset { get; private set; } = first.Header.L1Offset;

    /// <summary>Where the snapshot table is after the switch, and how many snapshots it has.</summary>
    public (ulong Offset, uint Count) Snapshots { get; set; } = (first.Header.SnapshotsOffset, first.Header.SnapshotCount);

    /// <summary>The incompatible features after the switch.</summary>
    public Qcow2IncompatibleFeatures Incompatible { get; set; } = first.Header.Incompatible;

    /// <summary>The refcount table, once switched to.</summary>
    public ulong[] RefcountTable => _newRefcountTable;

    private int ClusterBytes => 1 << _clusterBits;

    /// <summary>Writes a table into free clusters.</summary>
    /// <returns>Its place.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask<long> WriteTableAsync(ReadOnlyMemory<byte> table, BlkdebugEvent? evt = null)
    {
        long place = counts.Take((table.Length + ClusterBytes - 1) >> _clusterBits) << _clusterBits;
        if (place + table.Length >= Qcow2Format.MaximumHostOffset)
        {
            throw new BlockIoException(Errno.EFBIG);
        }

        await file.WriteAsync(place, table, evt).ConfigureAwait(false);
        return place;
    }

    /// <summary>Takes a reference of an old structure away that the new generation does not have.</summary>
    public void Release(long offset, long bytes)
    {
        for (long cluster = offset >> _clusterBits; cluster << _clusterBits < offset + bytes; cluster++)
        {
            counts.TryChange(cluster, -1, ReferenceCounts.Maximum);
        }
    }

    /// <summary>Gives the active tables the COPIED flags that the counts demand; tables that change move.</summary>
    /// <returns>Whether the L1 table changed.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask<bool> RenewActiveAsync()
    {
        bool changed = false;
        byte[] table = new byte[ClusterBytes];
        for (int i = 0; i < l1.Length; i++)
        {
            long place = (long)(l1[i] & Qcow2Format.OffsetMask);
            if (place == 0)
            {
                continue;
            }

            await file.ReadAsync(place, table, BlkdebugEvent.L2Load).ConfigureAwait(false);
            ulong old = l1[i];
            if (SetCopied(table))
            {
                l1[i] = (ulong)await WriteTableAsync(table, BlkdebugEvent.L2AllocWrite).ConfigureAwait(false) | Qcow2Format.Copied;
                Release(place, ClusterBytes);
            }
            else
            {
                l1[i] = (ulong)place | (counts[place >> _clusterBits] == 1 ? Qcow2Format.Copied : 0);
            }

            changed |= l1[i] != old;
        }

        return changed;
    }

    /// <summary>Writes the L1 table to a new place, which the header points at after the switch.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask MoveL1Async() =>
        L1Offset = (ulong)await WriteTableAsync(ClusterMap.L1Bytes(l1), BlkdebugEvent.L1GrowWriteTable).ConfigureAwait(false);

    /// <summary>Writes the refcounts, then switches the header to them and to everything else that is new, durably.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask SwitchAsync()
    {
        long tableClusters = RefcountTableClusters();
        long place = counts.Take(tableClusters);
        _newRefcountTable = new ulong[tableClusters << _clusterBits >> 3];
        PlaceBlocks();
        await WriteBlocksAsync().ConfigureAwait(false);
        await file.WriteAsync(place << _clusterBits, ClusterMap.L1Bytes(_newRefcountTable), BlkdebugEvent.RefblockAllocWriteTable).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        (_header.RefcountTableOffset, _header.RefcountTableClusters, _header.L1Offset) = ((ulong)place << _clusterBits, (uint)tableClusters, L1Offset);
        (_header.SnapshotsOffset, _header.SnapshotCount, _header.Incompatible) = (Snapshots.Offset, Snapshots.Count, Incompatible);
        await first.SwitchAsync(file).ConfigureAwait(false);
    }

    private bool SetCopied(Span<byte> table)
    {
        bool changed = false;
        var layout = L2Layout.For(_header);
        for (; !table.IsEmpty && !layout.HasDataFile; table = table[(1 << layout.EntryBits)..])
        {
            L2Entry entry = layout.Read(table, 0);
            if (entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated
                && entry.IsCopied != (counts[entry.HostOffset >> _clusterBits] == 1))
            {
                BinaryPrimitives.WriteUInt64BigEndian(table, entry.Raw ^ Qcow2Format.Copied);
                changed = true;
            }
        }

        return changed;
    }

    /// <summary>Takes the references of the old refcount structures away; before the flags are looked at, which follow the counts.</summary>
    public void ReleaseRefcounts()
    {
        Release((long)_header.RefcountTableOffset, (long)_header.RefcountTableClusters << _clusterBits);
        foreach (ulong entry in refcountTable)
        {
            if ((long)(entry & Qcow2Format.OffsetMask) is not 0 and long block)
            {
                Release(block, ClusterBytes);
            }
        }
    }

    /// <summary>Clusters of a table that can describe everything, the blocks and itself included.</summary>
    private long RefcountTableClusters()
    {
        long perBlock = _width.EntriesIn(ClusterBytes);
        (long tableClusters, long blocks, long before) = (_header.RefcountTableClusters, 0, -1);
        while (before != tableClusters + blocks)
        {
            before = tableClusters + blocks;
            blocks = (counts.End + before + perBlock - 1) / perBlock;
            tableClusters = Math.Max(tableClusters, ((blocks * sizeof(ulong)) + ClusterBytes - 1) >> _clusterBits);
        }

        return tableClusters << _clusterBits <= Qcow2Format.MaximumRefcountTableBytes ? tableClusters : throw new BlockIoException(Errno.EFBIG);
    }

    /// <summary>Takes a cluster for each block that has something to say; a block may need another one, for the cluster it takes.</summary>
    private void PlaceBlocks()
    {
        long perBlock = _width.EntriesIn(ClusterBytes);
        for (bool placed = true; placed;)
        {
            placed = false;
            for (long block = 0; block * perBlock < counts.End; block++)
            {
                if (_newRefcountTable[block] == 0 && counts.HasAny(block * perBlock, perBlock))
                {
                    _newRefcountTable[block] = (ulong)counts.Take(1) << _clusterBits;
                    placed = true;
                }
            }
        }
    }

    private async ValueTask WriteBlocksAsync()
    {
        byte[] bytes = new byte[ClusterBytes];
        int perBlock = _width.EntriesIn(ClusterBytes);
        for (long block = 0; block < _newRefcountTable.Length; block++)
        {
            if (_newRefcountTable[block] == 0)
            {
                continue;
            }

            for (int i = 0; i < perBlock; i++)
            {
                _width.Write(bytes, i, counts[(block * perBlock) + i]);
            }

            await file.WriteAsync((long)_newRefcountTable[block], bytes, BlkdebugEvent.RefblockAllocWriteBlocks).ConfigureAwait(false);
        }
    }
}
