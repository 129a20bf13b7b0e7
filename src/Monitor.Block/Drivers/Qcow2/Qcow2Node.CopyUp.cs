namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Writes that must not change what the image holds: data copied up from the backing node.</summary>
public sealed partial class Qcow2Node
{
    /// <inheritdoc/>
    protected override async ValueTask<ClusterAllocation?> AllocateEmptyAsync(long offset, long length)
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

            long empty = EmptyBytes(slice, entry, offset, length);
            L2Entry first = Layout.Read(slice, entry);
            return empty == 0 ? null
                : Layout.OwnsCluster(first) ? Kept(slice, entry, first, offset, empty)
                : await NewAsync(slice, entry, offset, empty).ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask<long> ZeroEmptyAsync(long offset, long length)
    {
        bool isWhole = (offset & (UnitSizeBytes - 1)) == 0 && (length >= UnitSizeBytes || offset + length >= SizeBytes);
        if (Version < 3 || !isWhole || IsDataFileRaw)
        {
            return 0;
        }

        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            long done = await ChangeEntriesAsync(offset, Math.Max(1, length >> Layout.UnitBits), (old, from, to) => WithZeroesIfEmpty(old, from, to))
                .ConfigureAwait(false);
            return Math.Min(length, done << Layout.UnitBits);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Bytes from a position on for which the image holds nothing, as far as one allocation reaches; at most a length.</summary>
    private long EmptyBytes(MetadataBlock slice, int entry, long offset, long length)
    {
        L2Entry first = Layout.Read(slice, entry);
        int unit = UnitAt(offset);
        int units = Layout.RunAt(first, unit, out L2EntryKind kind);
        if (kind != L2EntryKind.Unallocated)
        {
            return 0;
        }

        long bytes = ((long)(unit + units) << Layout.UnitBits) - (offset & (ClusterSizeBytes - 1));
        if (first == default)
        {
            while (bytes < length && ++entry < _image.Map.SliceEntries && Layout.Read(slice, entry) == default
                && FindInFlight((offset + bytes) >> _clusterBits) is null)
            {
                bytes += ClusterSizeBytes;
            }
        }

        return Math.Min(bytes, length);
    }

    private L2Entry? WithZeroesIfEmpty(L2Entry entry, int from, int to)
    {
        if (entry == default && to - from == Layout.Units)
        {
            return Layout.Zero;
        }

        for (int unit = from; unit < to;)
        {
            int next = Math.Min(to, unit + Layout.RunAt(entry, unit, out L2EntryKind kind));
            entry = kind == L2EntryKind.Unallocated ? Layout.WithZeroes(entry, unit, next) : entry;
            unit = next;
        }

        return entry;
    }
}
