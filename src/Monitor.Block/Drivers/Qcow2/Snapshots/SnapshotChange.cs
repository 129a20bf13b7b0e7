using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Takes or deletes an internal snapshot: works out the references afterwards and switches to tables that say so (<see cref="TableGeneration"/>).</summary>
/// <remarks>The doors above the image are closed; under the allocation lock. Cost: four bytes of memory per cluster in use; the L2 tables that
/// the snapshot shows are read once.</remarks>
internal sealed class SnapshotChange
{
    private readonly ImageMetadata _image;
    private readonly Qcow2Header _header;
    private readonly ReferenceCounts _counts;
    private readonly ulong[] _l1;
    private readonly TableGeneration _tables;
    private readonly ulong _maximum;
    private readonly int _clusterBits;

    private SnapshotChange(ImageMetadata image)
    {
        _image = image;
        _header = image.Header.Header;
        _clusterBits = (int)_header.ClusterBits;
        _maximum = new RefcountWidth((int)_header.RefcountOrder).Maximum;
        _counts = new ReferenceCounts(cluster => image.Clusters.FindOverlap(cluster << _clusterBits, 1) is not null);
        _l1 = image.Map.CopyL1();
        _tables = new TableGeneration(image.File, image.Header, _counts, _l1, image.Refcounts.CopyTable());
    }

    private int ClusterBytes => 1 << _clusterBits;

    /// <summary>Adds a snapshot of the image as it is now.</summary>
    /// <param name="image">The image.</param>
    /// <param name="snapshot">What is to be said of it; its L1 table is filled in.</param>
    /// <exception cref="BlockIoException">EINVAL: a refcount cannot become larger. EFBIG: too many snapshots. Or the medium failed, or the tables are damaged.</exception>
    public static ValueTask AddAsync(ImageMetadata image, Qcow2Snapshot snapshot) => RunAsync(image, change => change.AddAsync(snapshot));

    /// <summary>Deletes a snapshot.</summary>
    /// <param name="image">The image.</param>
    /// <param name="snapshot">One of its snapshots.</param>
    /// <exception cref="QmpException">Its L1 table cannot be where it is said to be.</exception>
    /// <exception cref="BlockIoException">The medium failed, or the tables are damaged.</exception>
    public static ValueTask RemoveAsync(ImageMetadata image, Qcow2Snapshot snapshot) => RunAsync(image, change => change.RemoveAsync(snapshot));

    /// <summary>Reads a snapshot's L1 table.</summary>
    /// <exception cref="QmpException">It is too large, or cannot be where it is said to be.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static ValueTask<ulong[]> ReadL1Async(ImageFile file, Qcow2Header header, Qcow2Snapshot snapshot)
    {
        Qcow2OpenImage.CheckTable("Snapshot L1 table", snapshot.L1Offset, snapshot.L1Entries, sizeof(ulong), Qcow2Format.MaximumL1Bytes, header);
        return Qcow2OpenImage.ReadTableAsync(file, snapshot.L1Offset, snapshot.L1Entries);
    }

    private static async ValueTask RunAsync(ImageMetadata image, Func<SnapshotChange, ValueTask> make)
    {
        image.ThrowIfCorrupt();
        await image.StoreAsync().ConfigureAwait(false);
        try
        {
            var change = new SnapshotChange(image);
            await change.LoadCountsAsync().ConfigureAwait(false);
            change._tables.ReleaseRefcounts();
            await make(change).ConfigureAwait(false);
        }
        finally
        {
            image.Refcounts.ForgetFresh();
        }
    }

    private async ValueTask AddAsync(Qcow2Snapshot snapshot)
    {
        await ChangeReferencesAsync(_l1, +1).ConfigureAwait(false);
        await _tables.RenewActiveAsync().ConfigureAwait(false);
        (ulong l1Offset, uint l1Entries) = (_header.L1Offset, _header.L1Entries);
        List<Qcow2Snapshot> snapshots = [.. _image.Snapshots, snapshot with { L1Offset = l1Offset, L1Entries = l1Entries }];
        await SwitchAsync(snapshots, movesL1: true).ConfigureAwait(false);
    }

    private async ValueTask RemoveAsync(Qcow2Snapshot snapshot)
    {
        await ChangeReferencesAsync(await ReadL1Async(_image.File, _header, snapshot).ConfigureAwait(false), -1).ConfigureAwait(false);
        _tables.Release((long)snapshot.L1Offset, snapshot.L1Entries * (long)sizeof(ulong));
        bool movesL1 = await _tables.RenewActiveAsync().ConfigureAwait(false);
        if (movesL1)
        {
            _tables.Release((long)_header.L1Offset, _header.L1Entries * (long)sizeof(ulong));
        }

        await SwitchAsync([.. _image.Snapshots.Where(other => !ReferenceEquals(other, snapshot))], movesL1).ConfigureAwait(false);
        foreach (ClusterRun run in _image.Discards.Snapshot ? _counts.Freed() : [])
        {
            await _image.PassDiscardAsync(run).ConfigureAwait(false);
        }
    }

    private async ValueTask SwitchAsync(List<Qcow2Snapshot> snapshots, bool movesL1)
    {
        byte[] table = Qcow2SnapshotTable.ToBytes(snapshots, _header.SizeBytes);
        if (movesL1)
        {
            await _tables.MoveL1Async().ConfigureAwait(false);
        }

        long place = table.Length == 0 ? 0 : await _tables.WriteTableAsync(table).ConfigureAwait(false);
        _tables.Snapshots = ((ulong)place, (uint)snapshots.Count);
        _tables.Release((long)_header.SnapshotsOffset, _image.SnapshotTableBytes);
        await _tables.SwitchAsync().ConfigureAwait(false);
        _image.Adopt(_l1, _tables.RefcountTable, snapshots, table.Length);
    }

    private async ValueTask LoadCountsAsync()
    {
        var width = new RefcountWidth((int)_header.RefcountOrder);
        var seen = new HashSet<long>();
        byte[] block = new byte[ClusterBytes];
        ulong[] table = _image.Refcounts.CopyTable();
        for (long i = 0; i < table.Length; i++)
        {
            long place = (long)(table[i] & Qcow2Format.OffsetMask);
            if (place == 0)
            {
                continue;
            }

            if (!IsTablePlace(place) || !seen.Add(place))
            {
                throw await _image.Corruption.ReportRefcountBlockAsync(place, ClusterBytes, i).ConfigureAwait(false);
            }

            await _image.File.ReadAsync(place, block, BlkdebugEvent.RefblockLoad).ConfigureAwait(false);
            Load(block, i * width.EntriesIn(ClusterBytes), width);
        }
    }

    private void Load(ReadOnlySpan<byte> block, long firstCluster, RefcountWidth width)
    {
        for (int i = 0; i < width.EntriesIn(block.Length); i++)
        {
            if (width.Read(block, i) is not 0 and ulong count)
            {
                _counts.Load(firstCluster + i, (uint)Math.Min(count, ReferenceCounts.Maximum));
            }
        }
    }

    private async ValueTask ChangeReferencesAsync(ulong[] l1, int change)
    {
        var seen = new HashSet<long>();
        byte[] table = new byte[ClusterBytes];
        for (int i = 0; i < l1.Length; i++)
        {
            long place = (long)(l1[i] & Qcow2Format.OffsetMask);
            if (place == 0)
            {
                continue;
            }

            if (!IsTablePlace(place) || !seen.Add(place))
            {
                throw await _image.Corruption.ReportL2TableAsync(place, ClusterBytes, i).ConfigureAwait(false);
            }

            await ChangeAsync(place, ClusterBytes, change).ConfigureAwait(false);
            await _image.File.ReadAsync(place, table, BlkdebugEvent.L2Load).ConfigureAwait(false);
            await ChangeTableAsync(table, change).ConfigureAwait(false);
        }
    }

    private async ValueTask ChangeTableAsync(ReadOnlyMemory<byte> table, int change)
    {
        for (int i = 0; i < table.Length >> _image.Layout.EntryBits; i++)
        {
            L2Entry entry = _image.Layout.Read(table.Span, i);
            switch (entry.Kind)
            {
                case L2EntryKind.Normal or L2EntryKind.ZeroAllocated when (entry.HostOffset & (ClusterBytes - 1)) != 0:
                    throw await _image.Corruption.ReportAsync(null, null, $"Cluster allocation offset {Qcow2Format.Hex(entry.HostOffset)} unaligned").ConfigureAwait(false);
                case L2EntryKind.Normal or L2EntryKind.ZeroAllocated:
                    await ChangeAsync(entry.HostOffset, ClusterBytes, change).ConfigureAwait(false);
                    break;
                case L2EntryKind.Compressed:
                    ClusterRun run = entry.CompressedClusters(_clusterBits);
                    await ChangeAsync(run.First << _clusterBits, run.Count << _clusterBits, change).ConfigureAwait(false);
                    break;
                default:
                    break;
            }
        }
    }

    private ValueTask ChangeAsync(long offset, long bytes, int change)
    {
        for (long cluster = offset >> _clusterBits; cluster << _clusterBits < offset + bytes; cluster++)
        {
            if (!_counts.TryChange(cluster, change, _maximum))
            {
                return RefuseAsync(cluster);
            }
        }

        return default;
    }

    /// <summary>A reference to a cluster that counts as free is damage; one too many is not.</summary>
    private async ValueTask RefuseAsync(long cluster)
    {
        if (_counts[cluster] != 0)
        {
            throw new BlockIoException(Errno.EINVAL);
        }

        throw await _image.Corruption.ReportAsync(cluster << _clusterBits, ClusterBytes, $"Refcount of used cluster {Qcow2Format.Hex(cluster << _clusterBits)} is zero")
            .ConfigureAwait(false);
    }

    private bool IsTablePlace(long place) => (place & (ClusterBytes - 1)) == 0 && place < _image.File.SizeBytes;
}
