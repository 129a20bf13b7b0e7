using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Checks an image's structures against each other and repairs what can be; finds what <c>qemu-img check</c> finds.</summary>
/// <remarks>
/// <para>Idea: count all references (<see cref="ReferenceWalk"/>), compare with the refcounts, compare those with the COPIED flags. A repair
/// takes the references for true and switches to new refcounts and tables that agree with them (<see cref="TableGeneration"/>), by one write
/// of the header that also clears the dirty and corrupt bits: a crash leaves the image as it was.</para>
/// <para>Example: a cluster with refcount 2 and one reference is a leak; with refcount 1 and two references a corruption, for giving one of
/// them back would free it under the other.</para>
/// <para>Cost: every L2 table is read twice; eight bytes of memory per cluster in use. Nothing else may change the image meanwhile.</para>
/// </remarks>
internal sealed class Qcow2Check
{
    private readonly ImageFile _file;
    private readonly Qcow2HeaderCluster _first;
    private readonly Qcow2Header _header;
    private readonly RefcountWidth _width;
    private readonly int _clusterBits;
    private readonly ImageCheckFix _fix;
    private readonly ReferenceCounts _counts;
    private readonly ReferenceCounts _stored = new(_ => false);
    private readonly HashSet<long> _unreadable = [];
    private long _end;

    /// <summary>Prepares a check.</summary>
    /// <param name="file">The image's file; all tables have been written.</param>
    /// <param name="first">Its first cluster.</param>
    /// <param name="fix">What to repair; the file is writable then.</param>
    public Qcow2Check(ImageFile file, Qcow2HeaderCluster first, ImageCheckFix fix)
    {
        (_file, _first, _header, _fix) = (file, first, first.Header, fix);
        _width = new RefcountWidth((int)_header.RefcountOrder);
        _clusterBits = (int)_header.ClusterBits;
        _counts = new ReferenceCounts(_ => false);
    }

    /// <summary>What was found; true once <see cref="RunAsync"/> has ended.</summary>
    public ImageCheckFindings Findings { get; } = new();

    private int ClusterBytes => 1 << _clusterBits;

    private long FileClusters => (_file.SizeBytes + ClusterBytes - 1) >> _clusterBits;

    /// <summary>Says that clusters have a reference that no table shows: they wait to be given back.</summary>
    public void Expect(ClusterRun run)
    {
        for (long cluster = run.First; cluster < run.First + run.Count; cluster++)
        {
            _counts.TryAdd(cluster, ReferenceCounts.Maximum);
        }
    }

    /// <summary>Checks, and repairs what was asked for.</summary>
    /// <param name="l1">The active L1 table; becomes the new one.</param>
    /// <param name="refcountTable">The refcount table.</param>
    /// <param name="snapshots">The snapshots.</param>
    /// <param name="snapshotTableBytes">Bytes of their table.</param>
    /// <returns>The refcount table afterwards; the same one if nothing was written anew.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask<ulong[]> RunAsync(ulong[] l1, ulong[] refcountTable, IReadOnlyList<Qcow2Snapshot> snapshots, long snapshotTableBytes)
    {
        Findings.TotalClusters = (long)(_header.SizeBytes >> _clusterBits) + ((_header.SizeBytes & ((ulong)ClusterBytes - 1)) != 0 ? 1 : 0);
        var walk = new ReferenceWalk(_file, _first, _counts, Findings, _fix);
        await walk.CountAsync(l1, snapshots, snapshotTableBytes).ConfigureAwait(false);
        (ulong[] usable, int damaged) = walk.CountRefcounts(refcountTable);
        await LoadStoredAsync(refcountTable).ConfigureAwait(false);
        (long corruptions, long leaks, bool isMissing) = Compare();
        bool mustRebuild = damaged > 0 || isMissing || _unreadable.Count > 0;
        bool fixes = _fix == ImageCheckFix.All || (_fix == ImageCheckFix.Leaks && !mustRebuild);
        if (fixes)
        {
            Findings.Fix(_fix == ImageCheckFix.All ? corruptions + damaged : 0, leaks);
            Findings.CheckErrors = 0;
        }

        var tables = new TableGeneration(_file, _first, _counts, l1, usable);
        bool renews = fixes && (corruptions + leaks > 0 || mustRebuild);
        if (renews)
        {
            tables.ReleaseRefcounts();
        }

        bool fixesFlags = fixes && (_fix == ImageCheckFix.All || Findings is { Corruptions: 0, Leaks: 0 });
        var flags = new CopiedFlagCheck(_file, L2Layout.For(_first.Header), fixes ? cluster => _counts[cluster] : FindStored, Findings);
        bool wrongFlags = await flags.RunAsync(l1, fixesFlags).ConfigureAwait(false);
        bool switches = fixes && await RepairAsync(tables, l1, renews, wrongFlags && fixesFlags).ConfigureAwait(false);
        Findings.ImageEndOffset = _end << _clusterBits;
        return switches ? tables.RefcountTable : refcountTable;
    }

    /// <summary>Reads the refcounts of the clusters that the file has.</summary>
    private async ValueTask LoadStoredAsync(ulong[] table)
    {
        const ulong Reserved = 0x1FF;
        long perBlock = _width.EntriesIn(ClusterBytes);
        long clusters = Math.Max(FileClusters, _counts.End);
        byte[] block = new byte[ClusterBytes];
        for (long i = 0; i < table.Length && i * perBlock < clusters; i++)
        {
            long place = (long)(table[i] & ~Reserved);
            if (place == 0)
            {
                continue;
            }

            if ((place & (ClusterBytes - 1)) != 0 || place < 0)
            {
                _unreadable.Add(i);
                Findings.AddCheckError($"Can't get refcount for cluster {i * perBlock}: {Errno.Describe(Errno.EIO)}");
                continue;
            }

            await _file.ReadAsync(place, block, BlkdebugEvent.RefblockLoad).ConfigureAwait(false);
            Load(block, i * perBlock, clusters);
        }
    }

    private void Load(ReadOnlySpan<byte> block, long firstCluster, long end)
    {
        for (int i = 0; i < _width.EntriesIn(block.Length) && firstCluster + i < end; i++)
        {
            if (_width.Read(block, i) is not 0 and ulong count)
            {
                _stored.Load(firstCluster + i, (uint)Math.Min(count, ReferenceCounts.Maximum));
            }
        }
    }

    private ulong? FindStored(long cluster) => _unreadable.Contains(cluster / _width.EntriesIn(ClusterBytes)) ? null : _stored[cluster];

    /// <summary>Compares refcounts with references. Where a repair is for leaks only, too low refcounts stay what they are.</summary>
    /// <returns>What was found, and whether clusters in use count as free, so that blocks may be missing.</returns>
    private (long Corruptions, long Leaks, bool IsMissing) Compare()
    {
        (long corruptions, long leaks, bool isMissing) = (0, 0, false);
        foreach (long cluster in ReferenceCounts.Clusters(_stored, _counts))
        {
            (uint stored, uint references) = (_stored[cluster], _counts[cluster]);
            _end = stored > 0 || references > 0 ? cluster + 1 : _end;
            if (stored == references || FindStored(cluster) is null)
            {
                continue;
            }

            isMissing |= stored == 0;
            string what = $"cluster {cluster} refcount={stored} reference={references}";
            if (stored < references)
            {
                corruptions++;
                Findings.AddCorruption($"ERROR {what}");
                if (_fix == ImageCheckFix.Leaks)
                {
                    _counts.TryChange(cluster, (int)stored - (int)references, ReferenceCounts.Maximum);
                }
            }
            else
            {
                leaks++;
                Findings.AddLeak($"Leaked {what}");
            }
        }

        return (corruptions, leaks, isMissing);
    }

    /// <summary>Switches to tables that agree with the references, or clears the header's doubts if these do already.</summary>
    /// <returns>Whether there are new tables.</returns>
    private async ValueTask<bool> RepairAsync(TableGeneration tables, ulong[] l1, bool renews, bool wrongFlags)
    {
        const Qcow2IncompatibleFeatures Doubts = Qcow2IncompatibleFeatures.Dirty | Qcow2IncompatibleFeatures.Corrupt;
        tables.Incompatible = Findings.Corruptions == 0 ? _header.Incompatible & ~Doubts : _header.Incompatible;
        if (!renews && !wrongFlags)
        {
            if (tables.Incompatible != _header.Incompatible)
            {
                _header.Incompatible = tables.Incompatible;
                await _first.SwitchAsync(_file).ConfigureAwait(false);
            }

            return false;
        }

        if (!renews)
        {
            tables.ReleaseRefcounts();
        }

        if (wrongFlags && await tables.RenewActiveAsync().ConfigureAwait(false))
        {
            tables.Release((long)_header.L1Offset, l1.Length * (long)sizeof(ulong));
            await tables.MoveL1Async().ConfigureAwait(false);
        }

        await tables.SwitchAsync().ConfigureAwait(false);
        _end = _counts.LastInUse + 1;
        return true;
    }
}
