namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Room for writes; zeroing and discarding by metadata.</summary>
public sealed partial class Qcow2Node
{
    /// <summary>Bytes of an allocation with edges to copy: they go through one buffer.</summary>
    private const int CopyLimitBytes = 2 << 20;

    /// <inheritdoc/>
    protected override async ValueTask<ClusterAllocation> AllocateAsync(long offset, long length)
    {
        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
            _ = _image.Map.Find(offset, out int entry);
            if (slice.IsSuspect)
            {
                await CheckEntryAsync(slice, entry, forWrite: true).ConfigureAwait(false);
            }

            var first = new L2Entry(slice.ReadEntry(entry));
            return first.IsInPlace ? InPlace(slice, entry, first, offset, length)
                : first is { Kind: L2EntryKind.ZeroAllocated, IsCopied: true } ? Kept(slice, entry, first, offset, length)
                : await NewAsync(slice, entry, offset, length).ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask<long> ZeroClustersAsync(long offset, long length, bool mayUnmap)
    {
        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            long inCluster = offset & (ClusterSizeBytes - 1);
            long part = Math.Min(length, ClusterSizeBytes - inCluster);
            bool whole = inCluster == 0 && (part == ClusterSizeBytes || offset + part >= SizeBytes);
            if (!whole && !await IsZeroableAsync(offset).ConfigureAwait(false))
            {
                return 0;
            }

            long end = offset + length >= SizeBytes ? long.MaxValue : offset + length;
            long last = whole ? Math.Max(offset >> _clusterBits, (end >> _clusterBits) - 1) : offset >> _clusterBits;
            long clusters = await SetZeroAsync(offset, last - (offset >> _clusterBits) + 1, mayUnmap).ConfigureAwait(false);
            return Math.Min(length, (clusters << _clusterBits) - (clusters == 0 ? 0 : inCluster));
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask<long> DiscardClustersAsync(long offset, long length)
    {
        long inCluster = offset & (ClusterSizeBytes - 1);
        long part = Math.Min(length, ClusterSizeBytes - inCluster);
        if (inCluster != 0 || (part < ClusterSizeBytes && offset + part < SizeBytes))
        {
            return part;
        }

        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            if (_image.Map.HasNoTable(offset) && Backing is null)
            {
                return Math.Min(length, _image.Map.BytesToTableEnd(offset));
            }

            long clusters = offset + length >= SizeBytes ? (length + ClusterSizeBytes - 1) >> _clusterBits : length >> _clusterBits;
            return Math.Min(length, await SetDiscardedAsync(offset, clusters).ConfigureAwait(false) << _clusterBits);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Makes the entries point at clusters that were filled.</summary>
    internal async ValueTask LinkAsync(Qcow2Allocation room)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            (MetadataBlock slice, int entry) = (room.Claim.Slice, room.Claim.Entry);
            for (int i = 0; i < room.Run.Count; i++)
            {
                var old = new L2Entry(slice.ReadEntry(entry + i));
                slice.WriteEntry(entry + i, L2Entry.Data((room.Run.First + i) << _clusterBits).Raw);
                if (!room.IsKept)
                {
                    Retire(old, discard: false);
                }
            }

            _image.Map.MarkDirty(slice);
            End(room.Claim);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Gives back clusters that could not be filled.</summary>
    internal async ValueTask AbandonAsync(Qcow2Allocation room)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!room.IsKept)
            {
                await _image.Refcounts.DecreaseAsync(room.Run).ConfigureAwait(false);
            }
        }
        finally
        {
            End(room.Claim);
            _image.Lock.Release();
        }
    }

    /// <summary>Takes the lock at a time when no allocation of this guest cluster is under way.</summary>
    private async ValueTask EnterForAsync(long cluster)
    {
        while (true)
        {
            await _image.Lock.WaitAsync().ConfigureAwait(false);
            if (FindInFlight(cluster) is not { } other)
            {
                return;
            }

            Task done = other.Done;
            _image.Lock.Release();
            await done.ConfigureAwait(false);
        }
    }

    private GuestClusterClaim? FindInFlight(long cluster)
    {
        foreach (GuestClusterClaim claim in _inFlight)
        {
            if (claim.Covers(cluster))
            {
                return claim;
            }
        }

        return null;
    }

    /// <summary>Claims guest clusters; under the lock.</summary>
    private GuestClusterClaim Claim(long first, long count, MetadataBlock slice, int entry)
    {
        var claim = new GuestClusterClaim(first, count, slice, entry);
        slice.Pins++;
        _inFlight.Add(claim);
        return claim;
    }

    private void End(GuestClusterClaim claim)
    {
        claim.Slice.Pins--;
        _inFlight.Remove(claim);
        claim.SetDone();
    }

    private InPlaceAllocation InPlace(MetadataBlock slice, int entry, L2Entry first, long offset, long length)
    {
        long inCluster = offset & (ClusterSizeBytes - 1);
        return new InPlaceAllocation
        {
            Length = slice.IsSuspect ? Math.Min(length, ClusterSizeBytes - inCluster) : InPlaceRun(slice, entry, first, inCluster, length),
            Child = _file,
            Host = new HostOffset(first.HostOffset + inCluster),
            HeadBytes = 0,
            TailBytes = 0,
        };
    }

    /// <summary>Uses one cluster that was kept for the entry while it read as zeroes.</summary>
    private Qcow2Allocation Kept(MetadataBlock slice, int entry, L2Entry first, long offset, long length) =>
        Start(slice, entry, new ClusterRun(first.HostOffset >> _clusterBits, 1), offset, length, isKept: true);

    private async ValueTask<ClusterAllocation> NewAsync(MetadataBlock slice, int entry, long offset, long length)
    {
        long inCluster = offset & (ClusterSizeBytes - 1);
        long wanted = (inCluster + length + ClusterSizeBytes - 1) >> _clusterBits;
        if (((inCluster + length) & (ClusterSizeBytes - 1)) != 0 || inCluster != 0)
        {
            wanted = Math.Min(wanted, Math.Max(1, CopyLimitBytes >> _clusterBits));
        }

        int count = 1;
        while (count < wanted && entry + count < slice.EntryCount && NeedsRoom(slice, entry + count, (offset >> _clusterBits) + count))
        {
            count++;
        }

        ClusterRun run = await _image.Refcounts.AllocateAsync(count).ConfigureAwait(false);
        return Start(slice, entry, run, offset, length, isKept: false);
    }

    private bool NeedsRoom(MetadataBlock slice, int entry, long cluster)
    {
        var next = new L2Entry(slice.ReadEntry(entry));
        return !slice.IsSuspect && !next.IsInPlace && !(next.Kind == L2EntryKind.ZeroAllocated && next.IsCopied) && FindInFlight(cluster) is null;
    }

    private Qcow2Allocation Start(MetadataBlock slice, int entry, ClusterRun run, long offset, long length, bool isKept)
    {
        int head = (int)(offset & (ClusterSizeBytes - 1));
        long covered = Math.Min(length, (run.Count << _clusterBits) - head);
        int tail = (int)((run.Count << _clusterBits) - head - covered);
        long firstCluster = offset >> _clusterBits;
        bool blank = run.IsFresh
            && (head == 0 || ReadsZero(slice, entry, firstCluster))
            && (tail == 0 || ReadsZero(slice, entry + (int)run.Count - 1, firstCluster + run.Count - 1));
        return new Qcow2Allocation(this, Claim(firstCluster, run.Count, slice, entry), run, isKept)
        {
            Length = covered,
            Child = _file,
            Host = new HostOffset((run.First << _clusterBits) + head),
            HeadBytes = blank ? 0 : head,
            TailBytes = blank ? 0 : tail,
        };
    }

    private bool ReadsZero(MetadataBlock slice, int entry, long cluster) => new L2Entry(slice.ReadEntry(entry)).Kind switch
    {
        L2EntryKind.ZeroPlain or L2EntryKind.ZeroAllocated => true,
        L2EntryKind.Unallocated => Backing is not { } backing || backing.Node.SizeBytes <= cluster << _clusterBits,
        _ => false,
    };

    /// <summary>Whether the whole cluster may become a zero cluster although only a part is to be zeroed.</summary>
    private async ValueTask<bool> IsZeroableAsync(long offset)
    {
        MetadataBlock? slice = await _image.Map.LoadAsync(offset).ConfigureAwait(false);
        if (slice is null)
        {
            return Backing is not { } backing || backing.Node.SizeBytes <= offset >> _clusterBits << _clusterBits;
        }

        _ = _image.Map.Find(offset, out int entry);
        return ReadsZero(slice, entry, offset >> _clusterBits);
    }

    /// <summary>Sets zero entries from one on, within its slice.</summary>
    /// <returns>Clusters dealt with; 0 where the version has no zero entries and data must be written.</returns>
    private async ValueTask<long> SetZeroAsync(long offset, long clusters, bool mayUnmap)
    {
        if (Version < 3)
        {
            return Backing is null ? await SetDiscardedAsync(offset, clusters).ConfigureAwait(false) : 0;
        }

        return await ChangeEntriesAsync(offset, clusters, old => old.Kind switch
        {
            L2EntryKind.ZeroPlain => old,
            L2EntryKind.Normal or L2EntryKind.ZeroAllocated when !mayUnmap => old.WithZero,
            _ => L2Entry.Zero,
        }).ConfigureAwait(false);
    }

    private ValueTask<long> SetDiscardedAsync(long offset, long clusters)
    {
        bool hasBacking = Backing is not null;
        L2Entry empty = Version >= 3 ? L2Entry.Zero : default;
        return ChangeEntriesAsync(offset, clusters, old => old.Kind switch
        {
            L2EntryKind.ZeroPlain => old,
            L2EntryKind.Unallocated when !hasBacking => old,
            _ => empty,
        });
    }

    /// <summary>Changes entries from one on, up to the end of its slice or the next allocation under way; clusters that lose their entry are retired.</summary>
    private async ValueTask<long> ChangeEntriesAsync(long offset, long clusters, Func<L2Entry, L2Entry> change)
    {
        MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
        _ = _image.Map.Find(offset, out int entry);
        long done = 0;
        for (; done < clusters && entry < slice.EntryCount; done++, entry++)
        {
            if (done > 0 && FindInFlight((offset >> _clusterBits) + done) is not null)
            {
                break;
            }

            if (slice.IsSuspect)
            {
                await CheckEntryAsync(slice, entry, forWrite: true).ConfigureAwait(false);
            }

            var old = new L2Entry(slice.ReadEntry(entry));
            L2Entry changed = change(old);
            if (changed == old)
            {
                continue;
            }

            slice.WriteEntry(entry, changed.Raw);
            _image.Map.MarkDirty(slice);
            if (changed.HostOffset != old.HostOffset || old.Kind == L2EntryKind.Compressed)
            {
                Retire(old, discard: true);
            }
        }

        return done;
    }

    /// <summary>Takes away the reference of an entry that was just overwritten.</summary>
    private void Retire(L2Entry old, bool discard)
    {
        switch (old.Kind)
        {
            case L2EntryKind.Normal or L2EntryKind.ZeroAllocated:
                _image.Retired.Add(new ClusterRun(old.HostOffset >> _clusterBits, 1), discard);
                break;
            case L2EntryKind.Compressed:
                _image.Retired.Add(old.CompressedClusters(_clusterBits), discard);
                break;
            default:
                break;
        }
    }
}
