using System.Runtime.CompilerServices;

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
            ? new BlockMapping(BlockMappingKind.Backing, map.BytesWithoutTable(offset, length))
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

        L2Entry first = Layout.Read(slice, entry);
        if (!first.IsCopied || Layout.KindAt(first, UnitAt(offset)) != L2EntryKind.Normal)
        {
            return false;
        }

        long inCluster = offset & (ClusterSizeBytes - 1);
        long run = RunLength(slice, entry, offset, length, BlockMappingKind.Data, mustOwn: true);
        mapping = new BlockMapping(BlockMappingKind.Data, run, _data, new HostOffset(first.HostOffset + inCluster));
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
                return new BlockMapping(BlockMappingKind.Backing, _image.Map.BytesWithoutTable(offset, length));
            }

            _ = _image.Map.Find(offset, out int entry);
            if (!slice.IsSuspect)
            {
                return MapRun(slice, entry, offset, length);
            }

            await CheckForReadAsync(slice, entry).ConfigureAwait(false);
            return MapRun(slice, entry, offset, Math.Min(length, ClusterSizeBytes - (offset & (ClusterSizeBytes - 1))));
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static BlockMappingKind MappingKind(L2EntryKind kind) => kind switch
    {
        L2EntryKind.Normal => BlockMappingKind.Data,
        L2EntryKind.Unallocated => BlockMappingKind.Backing,
        L2EntryKind.Compressed => BlockMappingKind.Compressed,
        _ => BlockMappingKind.Zero,
    };

    private BlockMapping MapRun(MetadataBlock slice, int entry, long offset, long length)
    {
        L2Entry first = Layout.Read(slice, entry);
        long inCluster = offset & (ClusterSizeBytes - 1);
        BlockMappingKind kind = MappingKind(Layout.KindAt(first, UnitAt(offset)));
        switch (kind)
        {
            case BlockMappingKind.Compressed:
                return new BlockMapping(kind, Math.Min(ClusterSizeBytes - inCluster, length), _file, new HostOffset((long)first.Raw));
            case BlockMappingKind.Data:
                long run = RunLength(slice, entry, offset, length, kind, mustOwn: false);
                return new BlockMapping(kind, run, _data, new HostOffset(first.HostOffset + inCluster));
            default:
                return new BlockMapping(kind, RunLength(slice, entry, offset, length, kind, mustOwn: false));
        }
    }

    private int UnitAt(long offset) => (int)((offset & (ClusterSizeBytes - 1)) >> Layout.UnitBits);

    /// <summary>How far a kind goes on, over entries and slices in memory; data only while its host clusters follow each other.</summary>
    /// <param name="slice">Holds the first entry.</param>
    /// <param name="entry">Its number.</param>
    /// <param name="offset">Guest position in bytes; its unit is of that kind.</param>
    /// <param name="length">Bytes to look at.</param>
    /// <param name="kind">Any but compressed.</param>
    /// <param name="mustOwn">Whether only clusters count that may be overwritten in place.</param>
    private long RunLength(MetadataBlock slice, int entry, long offset, long length, BlockMappingKind kind, bool mustOwn)
    {
        L2Layout layout = Layout;
        L2Entry at = layout.Read(slice, entry);
        int unit = UnitAt(offset);
        int units = layout.RunAt(at, unit, out _);
        long run = ((long)(unit + units) << layout.UnitBits) - (offset & (ClusterSizeBytes - 1));
        while (run < length && unit + units == layout.Units && TryAdvance(ref slice, ref entry, offset + run))
        {
            long host = at.HostOffset + ClusterSizeBytes;
            at = layout.Read(slice, entry);
            (unit, units) = (0, layout.RunAt(at, 0, out L2EntryKind next));
            if (MappingKind(next) != kind || (kind == BlockMappingKind.Data && (at.HostOffset != host || (mustOwn && !at.IsCopied))))
            {
                break;
            }

            run += (long)units << layout.UnitBits;
        }

        return Math.Min(run, length);
    }

    /// <summary>Goes to the next entry, into the next slice if that is in memory and sound.</summary>
    private bool TryAdvance(ref MetadataBlock slice, ref int entry, long offset)
    {
        if (++entry < _image.Map.SliceEntries)
        {
            return !slice.IsSuspect;
        }

        if (_image.Map.Find(offset, out entry) is not { IsSuspect: false } next)
        {
            return false;
        }

        slice = next;
        return true;
    }

    /// <summary>Refuses to read through a damaged entry; under the lock.</summary>
    private async ValueTask CheckForReadAsync(MetadataBlock slice, int entry)
    {
        if (_image.Map.FindDamage(slice, entry) is { } damage)
        {
            throw await _image.Corruption.ReportAsync(null, null, damage).ConfigureAwait(false);
        }
    }

    /// <summary>Refuses to change a damaged entry, or to write where it leads to metadata; under the lock.</summary>
    /// <param name="slice">Holds the entry.</param>
    /// <param name="entry">Its number.</param>
    /// <param name="offset">Guest position of what is to be changed.</param>
    /// <param name="length">Bytes, or more than the cluster has.</param>
    private async ValueTask CheckForWriteAsync(MetadataBlock slice, int entry, long offset, long length)
    {
        L2Entry value = Layout.Read(slice, entry);
        long inCluster = offset & (ClusterSizeBytes - 1);
        if (_image.Map.FindDamage(slice, entry) is { } damage)
        {
            bool isOwnUnaligned = value.IsCopied && value.Kind != L2EntryKind.Compressed && (value.HostOffset & (ClusterSizeBytes - 1)) != 0;
            string what = value.Kind == L2EntryKind.ZeroAllocated ? "Preallocated zero" : "Data";
            throw await _image.Corruption.ReportAsync(
                null,
                null,
                isOwnUnaligned ? $"{what} cluster offset {Qcow2Format.Hex(value.HostOffset)} unaligned (guest offset: {Qcow2Format.Hex(offset)})" : damage)
                .ConfigureAwait(false);
        }

        if (_image.Map.FindOverlap(value) is { } owner)
        {
            throw await _image.Corruption.ReportAsync(
                value.HostOffset + inCluster, Math.Min(length, ClusterSizeBytes - inCluster), $"Preventing invalid write on metadata (overlaps with {owner})")
                .ConfigureAwait(false);
        }
    }
}
