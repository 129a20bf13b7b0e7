namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Zeroing and discarding by metadata.</summary>
public sealed partial class Qcow2Node
{
    /// <inheritdoc/>
    protected override async ValueTask<long> ZeroClustersAsync(long offset, long length, bool mayUnmap)
    {
        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            long inUnit = offset & (UnitSizeBytes - 1);
            long part = Math.Min(length, UnitSizeBytes - inUnit);
            bool whole = inUnit == 0 && (part == UnitSizeBytes || offset + part >= SizeBytes);
            if (!whole && !await IsZeroableAsync(offset).ConfigureAwait(false))
            {
                return 0;
            }

            long end = offset + length >= SizeBytes ? offset + length + UnitSizeBytes - 1 : offset + length;
            long units = whole ? (end >> Layout.UnitBits) - (offset >> Layout.UnitBits) : 1;
            long done = await SetZeroAsync(offset, Math.Max(1, units), mayUnmap).ConfigureAwait(false);
            done = Math.Min(length, (done << Layout.UnitBits) - (done == 0 ? 0 : inUnit));
            await FollowInDataFileAsync(offset, done, mayUnmap).ConfigureAwait(false);
            return done;
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
            long done = _image.Discards.KeepsClusters
                ? await EmptyClusterAsync(offset).ConfigureAwait(false)
                : await SetDiscardedAsync(offset, clusters).ConfigureAwait(false) << Layout.UnitBits;
            done = Math.Min(length, done);
            await FollowInDataFileAsync(offset, done, mayUnmap: true).ConfigureAwait(false);
            return done;
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Whether the whole unit may become zeroes although only a part is to be zeroed.</summary>
    private async ValueTask<bool> IsZeroableAsync(long offset)
    {
        MetadataBlock? slice = await _image.Map.LoadAsync(offset).ConfigureAwait(false);
        if (slice is null)
        {
            return HasNothingBelow(offset);
        }

        _ = _image.Map.Find(offset, out int entry);
        return ReadsZero(Layout.Read(slice, entry), UnitAt(offset), UnitAt(offset) + 1, offset);
    }

    /// <summary>Makes units read as zeroes, within the slice of the first.</summary>
    /// <returns>Units dealt with; 0 where zeroes must be written as data: the version has no zero entries, or a part of compressed data is meant.</returns>
    private async ValueTask<long> SetZeroAsync(long offset, long units, bool mayUnmap)
    {
        if (Version < 3)
        {
            return Backing is null ? await SetDiscardedAsync(offset, units).ConfigureAwait(false) : 0;
        }

        L2Layout layout = Layout;
        return await ChangeEntriesAsync(offset, units, (old, from, to) =>
        {
            if (to - from < layout.Units)
            {
                return old.Kind == L2EntryKind.Compressed ? null : layout.WithZeroes(old, from, to);
            }

            return old == layout.Zero ? old
                : old.HostOffset != 0 && old.Kind != L2EntryKind.Compressed && !mayUnmap ? layout.WithZeroes(old, from, to)
                : layout.Zero;
        }).ConfigureAwait(false);
    }

    private ValueTask<long> SetDiscardedAsync(long offset, long clusters)
    {
        bool hasBacking = Backing is not null;
        L2Entry empty = Version >= 3 ? Layout.Zero : default;
        return ChangeEntriesAsync(
            offset, clusters * Layout.Units, (old, _, _) => old == empty || (old == default && !hasBacking) ? old : empty);
    }

    /// <summary>Discards one cluster; if it was the entry's own it stays so, and only its space goes back, at once.</summary>
    /// <returns>Bytes dealt with.</returns>
    private async ValueTask<long> EmptyClusterAsync(long offset)
    {
        MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
        _ = _image.Map.Find(offset, out int entry);
        L2Entry old = Layout.Read(slice, entry);
        if (old.HostOffset == 0 || !old.IsCopied || old.Kind == L2EntryKind.Compressed || Layout.HasDataFile)
        {
            return await SetDiscardedAsync(offset, 1).ConfigureAwait(false) << Layout.UnitBits;
        }

        L2Layout layout = Layout;
        await ChangeEntriesAsync(offset, layout.Units, (entry, from, to) => layout.WithZeroes(entry, from, to)).ConfigureAwait(false);
        if (_image.Discards.Request)
        {
            await _image.PassDiscardAsync(new ClusterRun(old.HostOffset >> _clusterBits, 1)).ConfigureAwait(false);
        }

        return ClusterSizeBytes;
    }

    /// <summary>Changes entries from one on, up to the end of its slice or the next allocation under way; clusters that lose their entry are retired.</summary>
    /// <param name="offset">Guest position of the first unit.</param>
    /// <param name="units">How many.</param>
    /// <param name="change">From an entry and its first and last units (to: behind it) to the new entry; null to stop there.</param>
    /// <param name="reason">Why clusters become free.</param>
    /// <returns>Units dealt with.</returns>
    private async ValueTask<long> ChangeEntriesAsync(
        long offset, long units, Func<L2Entry, int, int, L2Entry?> change, Qcow2Discard reason = Qcow2Discard.Request)
    {
        MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
        _ = _image.Map.Find(offset, out int entry);
        int from = UnitAt(offset);
        long done = 0;
        for (; done < units && entry < _image.Map.SliceEntries; entry++, from = 0)
        {
            if (done > 0 && FindInFlight((offset + (done << Layout.UnitBits)) >> _clusterBits) is not null)
            {
                break;
            }

            if (slice.IsSuspect)
            {
                await CheckForWriteAsync(slice, entry, offset + (done << Layout.UnitBits), (units - done) << Layout.UnitBits).ConfigureAwait(false);
            }

            int to = (int)Math.Min(Layout.Units, from + units - done);
            L2Entry old = Layout.Read(slice, entry);
            if (change(old, from, to) is not { } changed)
            {
                break;
            }

            done += to - from;
            if (changed != old)
            {
                Replace(slice, entry, old, changed, reason);
            }
        }

        return done;
    }

    private void Replace(MetadataBlock slice, int entry, L2Entry old, L2Entry changed, Qcow2Discard reason)
    {
        Layout.Write(slice, entry, changed);
        _image.Map.MarkDirty(slice);
        if (changed.HostOffset != old.HostOffset || old.Kind == L2EntryKind.Compressed)
        {
            Retire(old, reason);
        }
    }

    /// <summary>Does to the data file what was done to the entries: a raw one must hold zeroes, another may give the space back.</summary>
    private async ValueTask FollowInDataFileAsync(long offset, long length, bool mayUnmap)
    {
        if (length == 0 || !Layout.HasDataFile)
        {
            return;
        }

        if (IsDataFileRaw)
        {
            await _data.Node.WriteZeroesAsync(offset, length, mayUnmap ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None).ConfigureAwait(false);
        }
        else if (mayUnmap && _image.Discards.Request)
        {
            await _data.Node.DiscardAsync(offset, length).ConfigureAwait(false);
        }
    }
}
