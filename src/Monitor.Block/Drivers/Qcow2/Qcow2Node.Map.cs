namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Where the bytes live.</summary>
public sealed partial class Qcow2Node
{
    /// <inheritdoc/>
    protected override bool TryMap(long offset, long length, out BlockMapping mapping)
    {
        ClusterMap map = _image.Map;
        MetadataBlock? slice = map.Find(offset, out int entry);
        if (_image.Corruption.IsFatal || slice is { IsSuspect: true } || (slice is null && !map.HasNoTable(offset)))
        {
            mapping = default;
            return false;
        }

        mapping = slice is null
            ? new BlockMapping(BlockMappingKind.Backing, Math.Min(length, map.BytesToTableEnd(offset)))
            : MapRun(slice, entry, offset, length);
        return true;
    }

    /// <inheritdoc/>
    protected override bool TryMapInPlace(long offset, long length, out BlockMapping mapping)
    {
        mapping = default;
        if (_image.Map.Find(offset, out int entry) is not { IsSuspect: false } slice || _image.Corruption.IsFatal)
        {
            return false;
        }

        var first = new L2Entry(slice.ReadEntry(entry));
        if (!first.IsInPlace)
        {
            return false;
        }

        long inCluster = offset & (ClusterSizeBytes - 1);
        mapping = new BlockMapping(
            BlockMappingKind.Data, InPlaceRun(slice, entry, first, inCluster, length), _file, new HostOffset(first.HostOffset + inCluster));
        return true;
    }

    /// <inheritdoc/>
    protected override async ValueTask<BlockMapping> MapLaterAsync(long offset, long length)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            MetadataBlock? slice = await _image.Map.LoadAsync(offset).ConfigureAwait(false);
            if (slice is null)
            {
                return new BlockMapping(BlockMappingKind.Backing, Math.Min(length, _image.Map.BytesToTableEnd(offset)));
            }

            _ = _image.Map.Find(offset, out int entry);
            if (!slice.IsSuspect)
            {
                return MapRun(slice, entry, offset, length);
            }

            await CheckEntryAsync(slice, entry, forWrite: false).ConfigureAwait(false);
            return MapRun(slice, entry, offset, Math.Min(length, ClusterSizeBytes - (offset & (ClusterSizeBytes - 1))));
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    private static BlockMappingKind MappingKind(L2EntryKind kind) => kind switch
    {
        L2EntryKind.Normal => BlockMappingKind.Data,
        L2EntryKind.Unallocated => BlockMappingKind.Backing,
        L2EntryKind.Compressed => BlockMappingKind.Compressed,
        _ => BlockMappingKind.Zero,
    };

    private BlockMapping MapRun(MetadataBlock slice, int entry, long offset, long length)
    {
        var first = new L2Entry(slice.ReadEntry(entry));
        BlockMappingKind kind = MappingKind(first.Kind);
        long inCluster = offset & (ClusterSizeBytes - 1);
        long run = ClusterSizeBytes - inCluster;
        if (kind == BlockMappingKind.Compressed)
        {
            return new BlockMapping(kind, Math.Min(run, length), _file, new HostOffset((long)first.Raw));
        }

        long next = first.HostOffset + ClusterSizeBytes;
        while (run < length && ++entry < slice.EntryCount)
        {
            var more = new L2Entry(slice.ReadEntry(entry));
            if (MappingKind(more.Kind) != kind || (kind == BlockMappingKind.Data && more.HostOffset != next))
            {
                break;
            }

            run += ClusterSizeBytes;
            next += ClusterSizeBytes;
        }

        run = Math.Min(run, length);
        return kind == BlockMappingKind.Data
            ? new BlockMapping(kind, run, _file, new HostOffset(first.HostOffset + inCluster))
            : new BlockMapping(kind, run);
    }

    private long InPlaceRun(MetadataBlock slice, int entry, L2Entry first, long inCluster, long length)
    {
        long run = ClusterSizeBytes - inCluster;
        for (long next = first.HostOffset + ClusterSizeBytes; run < length && ++entry < slice.EntryCount; next += ClusterSizeBytes)
        {
            var more = new L2Entry(slice.ReadEntry(entry));
            if (!more.IsInPlace || more.HostOffset != next)
            {
                break;
            }

            run += ClusterSizeBytes;
        }

        return Math.Min(run, length);
    }

    /// <summary>Refuses a damaged entry; under the lock.</summary>
    private async ValueTask CheckEntryAsync(MetadataBlock slice, int entry, bool forWrite)
    {
        var damaged = new L2Entry(slice.ReadEntry(entry));
        if (_image.Map.FindDamage(damaged, forWrite) is { } damage)
        {
            throw await _image.Corruption.ReportAsync(damaged.HostOffset, ClusterSizeBytes, damage).ConfigureAwait(false);
        }
    }
}
