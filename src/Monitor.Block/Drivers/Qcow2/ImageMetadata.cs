using System.Diagnostics.CodeAnalysis;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>An open image's tables and the order in which they reach the disk.</summary>
/// <remarks>
/// <para>Idea: everything is changed in memory first and written back in one batch, when the guest flushes or the cache is full, so that
/// scattered allocating writes cost no sync each. A batch is: refcount blocks; (sync; refcount table, if blocks are new); sync, which
/// also covers the guest data and copied edges; L2 slices; (sync; L1 table, if L2 tables are new). A flush ends with one more sync.</para>
/// <para>Example: a 4 KiB write to a new cluster takes refcount block 0 from 0 to 1 in memory, writes its data, sets the L2 entry in
/// memory. A crash before the flush loses the entry and at worst leaks the cluster; a crash inside the batch leaves a refcount without
/// an entry, never an entry without refcount or data.</para>
/// <para>Cost: a flush after allocations costs two syncs, after none one. Clusters are given back after the batch that removes their
/// last entry (<see cref="RetiredClusters"/>).</para>
/// </remarks>
internal sealed class ImageMetadata
{
    /// <summary>Clusters that may wait for a flush before one is made for their sake.</summary>
    private const int RetiredLimit = 16384;

    private Qcow2CacheSizes _sizes;

    /// <summary>Takes over an image whose header was read and checked.</summary>
    public ImageMetadata(
        BlockNode node,
        Qcow2OpenImage image,
        Qcow2CacheSizes sizes,
        HashSet<string> overlapChecks,
        GracePeriods requests,
        Qcow2DiscardPolicy discards,
        IEventSink events)
    {
        File = image.File;
        Header = image.Header;
        Discards = discards;
        Corruption = new CorruptionReporter(node, Header, File, events);
        Retired = new RetiredClusters(requests);
        (_sizes, OverlapChecks) = (sizes, overlapChecks);
        Layout = L2Layout.For(Header.Header);
        Adopt(image.L1, image.RefcountTable, image.Snapshots, image.SnapshotTableBytes);
    }

    /// <summary>Goes on with other tables, which the header points at already. The doors are closed and nothing has changed since.</summary>
    [MemberNotNull(nameof(Clusters), nameof(Refcounts), nameof(Map), nameof(Snapshots))]
    public void Adopt(ulong[] l1, ulong[] refcountTable, IReadOnlyList<Qcow2Snapshot> snapshots, long snapshotTableBytes)
    {
        Supersede();
        Qcow2Header header = Header.Header;
        (Snapshots, SnapshotTableBytes) = (snapshots, snapshotTableBytes);
        Clusters = new MetadataClusters((int)header.ClusterBits, kind => OverlapChecks.Contains(kind));
        Clusters.Add(0, header.ClusterBytes, MetadataClusters.Header);
        Clusters.Add((long)header.L1Offset, header.L1Entries * (long)sizeof(ulong), MetadataClusters.ActiveL1);
        Clusters.Add((long)header.RefcountTableOffset, (long)header.RefcountTableClusters << (int)header.ClusterBits, MetadataClusters.RefcountTable);
        Clusters.Add((long)header.SnapshotsOffset, snapshotTableBytes, MetadataClusters.SnapshotTable);
        Clusters.AddInactiveL1(snapshots);
        NoteBitmapDirectory();
        Refcounts = new Refcounts(File, Header, Clusters, Corruption, refcountTable, _sizes.RefcountBytes);
        Map = new ClusterMap(this, l1, _sizes.SliceBytes, _sizes.L2Bytes);
    }

    /// <summary>Forgets all cached L2 slices and refcount blocks. The doors are closed and everything is written back.</summary>
    public void ForgetBlocks() => Adopt(Map.CopyL1(), Refcounts.CopyTable(), Snapshots, SnapshotTableBytes);

    /// <summary>Grows whenever the tables are replaced by others: a check that was under way must begin again.</summary>
    public int Generation { get; private set; }

    /// <summary>Takes note that the tables are replaced. The doors are closed.</summary>
    public void Supersede() => Generation++;

    /// <summary>Takes note of where the bitmap directory is now.</summary>
    public void NoteBitmapDirectory() =>
        Clusters.BitmapDirectoryPlace =
            Header.Find(Qcow2BitmapExtension.Magic) is { } data && Qcow2BitmapExtension.TryRead(data, out Qcow2BitmapExtension extension)
                ? ((long)extension.DirectoryOffset, (long)extension.DirectorySize)
                : default;

    /// <summary>Which structures are looked for before a write: names of <see cref="MetadataClusters"/>.</summary>
    public HashSet<string> OverlapChecks { get; set; }

    /// <summary>Reads where the snapshots' L2 tables are, if writes that would hit them are looked for. After each <see cref="Adopt"/> and new choice.</summary>
    /// <exception cref="QmpException">A snapshot's L1 table is not sound.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask NoteInactiveL2Async()
    {
        if (!OverlapChecks.Contains(MetadataClusters.InactiveL2))
        {
            return;
        }

        foreach (Qcow2Snapshot snapshot in Snapshots)
        {
            foreach (ulong entry in await SnapshotChange.ReadL1Async(File, Header.Header, snapshot).ConfigureAwait(false))
            {
                if ((long)(entry & Qcow2Format.OffsetMask) is not 0 and long table)
                {
                    Clusters.AddInactiveL2(table);
                }
            }
        }
    }

    /// <summary>Which discards reach the file.</summary>
    public Qcow2DiscardPolicy Discards { get; set; }

    public ImageFile File { get; }

    public Qcow2HeaderCluster Header { get; }

    public MetadataClusters Clusters { get; private set; }

    public L2Layout Layout { get; }

    public CorruptionReporter Corruption { get; }

    public RetiredClusters Retired { get; }

    public Refcounts Refcounts { get; private set; }

    public ClusterMap Map { get; private set; }

    /// <summary>The snapshots in the image, oldest first.</summary>
    public IReadOnlyList<Qcow2Snapshot> Snapshots { get; private set; }

    /// <summary>Bytes of their table.</summary>
    public long SnapshotTableBytes { get; private set; }

    /// <summary>The allocation lock: held for every change of the tables and for look-ups that must read them.</summary>
    public SemaphoreSlim Lock { get; } = new(1, 1);

    /// <summary>Refuses requests on an image that was marked corrupt.</summary>
    /// <exception cref="BlockIoException">It was.</exception>
    public void ThrowIfCorrupt()
    {
        if (Corruption.IsFatal)
        {
            throw new BlockIoException(Errno.EIO);
        }
    }

    /// <summary>Makes everything acknowledged durable; takes the lock only if tables changed.</summary>
    /// <exception cref="BlockIoException">The medium failed, now or at an earlier sync.</exception>
    public async ValueTask FlushGuestAsync()
    {
        if (!Map.HasDirty)
        {
            await File.FlushAsync().ConfigureAwait(false);
            return;
        }

        await Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            await FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            Lock.Release();
        }
    }

    /// <summary>Writes all changed tables back, syncs, and gives back what waited for that. Under the lock.</summary>
    /// <exception cref="BlockIoException">The medium failed, now or at an earlier sync.</exception>
    public async ValueTask FlushAsync()
    {
        await WriteBackAsync().ConfigureAwait(false);
        await File.FlushAsync().ConfigureAwait(false);
        Retired.SetDurable();
        await ReleaseRetiredAsync().ConfigureAwait(false);
    }

    /// <summary>Writes all changed tables in the order that survives a crash. Under the lock.</summary>
    /// <exception cref="BlockIoException">The medium failed; what was not written stays changed.</exception>
    public async ValueTask WriteBackAsync()
    {
        ThrowIfCorrupt();
        File.ThrowIfFailed();
        await Refcounts.WriteBackAsync().ConfigureAwait(false);
        if (!Map.HasDirty)
        {
            return;
        }

        await File.FlushAsync().ConfigureAwait(false);
        await Map.WriteSlicesAsync().ConfigureAwait(false);
        if (Map.HasDirtyL1)
        {
            await File.FlushAsync().ConfigureAwait(false);
            await Map.WriteL1Async().ConfigureAwait(false);
        }
    }

    /// <summary>Gives back clusters that nobody can refer to any more; makes them so first if very many wait. Under the lock.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask ReclaimAsync() => Retired.UnlinkedCount > RetiredLimit ? FlushAsync() : ReleaseRetiredAsync();

    /// <summary>Writes everything back, what its own giving back of clusters changed too. Nothing is in flight.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask StoreAsync()
    {
        await FlushAsync().ConfigureAwait(false);
        await WriteBackAsync().ConfigureAwait(false);
        await File.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Writes everything back for good; failures are logged.</summary>
    public async ValueTask CloseAsync(string nodeName)
    {
        try
        {
            await StoreAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            DaemonLog.Error("Block", $"node {nodeName}: the image's tables could not be written back: {e.Message}");
        }
    }

    private async ValueTask ReleaseRetiredAsync()
    {
        while (Retired.TryTake(out ClusterRun run, out Qcow2Discard reason))
        {
            await FreeAsync(run, reason).ConfigureAwait(false);
        }
    }

    /// <summary>Takes a reference from clusters that nothing can lead to any more, and tells the file if they are free now. Under the lock.</summary>
    /// <exception cref="BlockIoException">The medium failed, or the refcounts are damaged.</exception>
    public async ValueTask FreeAsync(ClusterRun run, Qcow2Discard reason)
    {
        if (await Refcounts.DecreaseAsync(run).ConfigureAwait(false) && Discards.Passes(reason))
        {
            await PassDiscardAsync(run).ConfigureAwait(false);
        }
    }

    /// <summary>Changes how much of the tables is kept. The doors are closed.</summary>
    public void SetCacheSizes(Qcow2CacheSizes sizes)
    {
        _sizes = sizes with { SliceBytes = _sizes.SliceBytes };
        Map.SetCacheSize(sizes.L2Bytes);
        Refcounts.SetCacheSize(sizes.RefcountBytes);
    }

    /// <summary>Discards free clusters in the file; that it keeps their space is no failure.</summary>
    public async ValueTask PassDiscardAsync(ClusterRun run)
    {
        int clusterBits = (int)Header.Header.ClusterBits;
        try
        {
            await File.Child.Node.DiscardAsync(run.First << clusterBits, run.Count << clusterBits).ConfigureAwait(false);
        }
        catch (BlockIoException)
        {
            // The cluster is free either way; that the file keeps its space is no failure of the request.
        }
    }
}
