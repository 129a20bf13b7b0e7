namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Room for writes.</summary>
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
                await CheckForWriteAsync(slice, entry, offset, length).ConfigureAwait(false);
            }

            L2Entry first = Layout.Read(slice, entry);
            bool isData = Layout.KindAt(first, UnitAt(offset)) == L2EntryKind.Normal;
            return isData && first.IsCopied ? InPlace(slice, entry, first, offset, length)
                : Layout.OwnsCluster(first) ? Kept(slice, entry, first, offset, length)
                : await NewAsync(slice, entry, offset, length).ConfigureAwait(false);
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
            MetadataBlock slice = room.Claim.Slice;
            for (int i = 0; i < room.Run.Count; i++)
            {
                L2Entry old = Layout.Read(slice, room.Claim.Entry + i);
                int from = i == 0 ? room.FirstUnit : 0;
                int to = Math.Min(Layout.Units, room.EndUnit - (i * Layout.Units));
                L2Entry kept = old.Kind == L2EntryKind.Compressed ? default : old;
                Layout.Write(slice, room.Claim.Entry + i, Layout.WithData(kept, (room.Run.First + i) << _clusterBits, from, to));
                if (!room.IsKept)
                {
                    Retire(old, Qcow2Discard.Never);
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

    private InPlaceAllocation InPlace(MetadataBlock slice, int entry, L2Entry first, long offset, long length) => new()
    {
        Length = RunLength(slice, entry, offset, length, BlockMappingKind.Data, mustOwn: true),
        Child = _data,
        Host = new HostOffset(first.HostOffset + (offset & (ClusterSizeBytes - 1))),
        HeadBytes = 0,
        TailBytes = 0,
    };

    /// <summary>Uses one cluster that the entry has already, though what is written to holds no data yet.</summary>
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
        while (count < wanted && entry + count < _image.Map.SliceEntries && NeedsRoom(slice, entry + count, (offset >> _clusterBits) + count))
        {
            count++;
        }

        // In a data file every guest cluster has its place.
        ClusterRun run = Layout.HasDataFile
            ? new ClusterRun(offset >> _clusterBits, count)
            : await _image.Refcounts.AllocateAsync(count).ConfigureAwait(false);
        return Start(slice, entry, run, offset, length, isKept: Layout.HasDataFile);
    }

    private bool NeedsRoom(MetadataBlock slice, int entry, long cluster) =>
        !slice.IsSuspect && !Layout.OwnsCluster(Layout.Read(slice, entry)) && FindInFlight(cluster) is null;

    /// <summary>Claims the guest clusters, and finds what must be filled around the write: units are linked wholly, and data moves with its cluster.</summary>
    private Qcow2Allocation Start(MetadataBlock slice, int entry, ClusterRun run, long offset, long length, bool isKept)
    {
        int inCluster = (int)(offset & (ClusterSizeBytes - 1));
        long covered = Math.Min(length, (run.Count << _clusterBits) - inCluster);
        long end = inCluster + covered;
        int lastCluster = (int)((end - 1) >> _clusterBits);
        (L2Entry first, L2Entry last) = (Layout.Read(slice, entry), Layout.Read(slice, entry + lastCluster));
        (int unit, int lastUnit) = (inCluster >> Layout.UnitBits, (int)((end - 1) >> Layout.UnitBits));
        (int from, int to) = (unit, lastUnit + 1);
        bool moves = first.HostOffset != run.First << _clusterBits;
        if (moves)
        {
            from = Math.Min(from, Layout.DataUnits(first).From);
            to = Math.Max(to, (lastCluster * Layout.Units) + Layout.DataUnits(last).To);
        }

        int lastInCluster = lastUnit - (lastCluster * Layout.Units);
        int head = inCluster - (from << Layout.UnitBits);
        int tail = !moves && Layout.KindAt(last, lastInCluster) == L2EntryKind.Normal ? 0 : (int)(((long)to << Layout.UnitBits) - end);
        if (Layout.HasDataFile)
        {
            // The data file is as long as the disk.
            tail = (int)Math.Min(tail, SizeBytes - offset - covered);
        }

        bool blank = run.IsFresh
            && (head == 0 || ReadsZero(first, from, unit + 1, offset))
            && (tail == 0 || ReadsZero(last, lastInCluster, to - (lastCluster * Layout.Units), offset + covered - 1));
        return new Qcow2Allocation(this, Claim(offset >> _clusterBits, run.Count, slice, entry), run, isKept)
        {
            Length = covered,
            Child = _data,
            Host = new HostOffset((run.First << _clusterBits) + inCluster),
            HeadBytes = blank ? 0 : head,
            TailBytes = blank ? 0 : tail,
            FirstUnit = from,
            EndUnit = to,
        };
    }

    /// <summary>Whether some units of an entry read as zeroes.</summary>
    /// <param name="entry">The entry.</param>
    /// <param name="from">The first unit.</param>
    /// <param name="to">Behind the last unit.</param>
    /// <param name="offset">A guest position in that cluster.</param>
    private bool ReadsZero(L2Entry entry, int from, int to, long offset)
    {
        for (int unit = from; unit < to;)
        {
            unit += Layout.RunAt(entry, unit, out L2EntryKind kind);
            bool isZero = kind is L2EntryKind.ZeroPlain or L2EntryKind.ZeroAllocated || (kind == L2EntryKind.Unallocated && HasNothingBelow(offset));
            if (!isZero)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether no backing file shows through anywhere in the cluster of a guest position.</summary>
    private bool HasNothingBelow(long offset) => Backing is not { } backing || backing.Node.SizeBytes <= offset >> _clusterBits << _clusterBits;

    /// <summary>Takes away the reference of an entry that was just overwritten.</summary>
    private void Retire(L2Entry old, Qcow2Discard reason)
    {
        switch (old.Kind)
        {
            case L2EntryKind.Normal or L2EntryKind.ZeroAllocated when !Layout.HasDataFile:
                _image.Retired.Add(new ClusterRun(old.HostOffset >> _clusterBits, 1), reason);
                break;
            case L2EntryKind.Compressed:
                _image.Retired.Add(old.CompressedClusters(_clusterBits), reason);
                break;
            default:
                break;
        }
    }
}
