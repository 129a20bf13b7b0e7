namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The map of a range in one pass over the L2 entries.</summary>
/// <remarks>
/// A fragmented image has a run for every cluster, and a client that copies or backs it up asks for all of them. So entries are gone
/// through slice by slice, without a lock, a state machine or a look-up for each: a few nanoseconds an entry. Unlike
/// <see cref="FormatNode.MapAsync"/>, data go on over host clusters that do not follow each other. An image without bitmaps in its entries,
/// the usual one, has a loop of its own: twice as fast as the one over units.
/// </remarks>
public sealed partial class Qcow2Node
{
    /// <inheritdoc/>
    public override ValueTask<int> DescribeAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        int count = DescribeKnown(offset, length, runs.Span);
        return count > 0 ? new ValueTask<int>(count) : DescribeLaterAsync(offset, length, runs);
    }

    /// <summary>Reads the slice of the first run; what else it tells is told too.</summary>
    private async ValueTask<int> DescribeLaterAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        BlockMapping first = await MapLaterAsync(offset, length).ConfigureAwait(false);
        int count = DescribeKnown(offset, length, runs.Span);
        if (count > 0)
        {
            return count;
        }

        runs.Span[0] = BlockStatus.Of(first.Kind, first.Length);
        return 1;
    }

    /// <summary>The runs that are known without I/O and locks; none if the first is not.</summary>
    private int DescribeKnown(long offset, long length, Span<BlockStatus> runs)
    {
        ClusterMap map = _image.Map;
        int count = 0;
        for (long end = offset + length; offset < end && count < runs.Length;)
        {
            MetadataBlock? slice = map.Find(offset, out int entry);
            if (_image.Corruption.IsFatal || slice is { IsSuspect: true } || (slice is null && !map.HasNoTable(offset)))
            {
                break;
            }

            if (slice is not null)
            {
                offset = Layout.IsExtended
                    ? DescribeUnits(slice, entry, offset, end, runs, ref count)
                    : DescribeClusters(slice, entry, offset, end, runs, ref count);
                continue;
            }

            long run = map.BytesWithoutTable(offset, end - offset);
            runs[count++] = BlockStatus.Of(BlockMappingKind.Backing, run);
            offset += run;
        }

        return count;
    }

    /// <summary>Adds the runs of one slice, as far as there is room; at least one.</summary>
    /// <returns>Where they end.</returns>
    private long DescribeClusters(MetadataBlock slice, int entry, long offset, long end, Span<BlockStatus> runs, ref int count)
    {
        L2Layout layout = Layout;
        int bits = _clusterBits;
        long first = (offset >> bits) - entry;
        int entries = (int)Math.Min(_image.Map.SliceEntries, ((end - 1) >> bits) - first + 1);
        BlockMappingKind kind = MappingKind(layout.Read(slice, entry).Kind);
        while (++entry < entries)
        {
            BlockMappingKind next = MappingKind(layout.Read(slice, entry).Kind);
            if (next == kind)
            {
                continue;
            }

            long at = (first + entry) << bits;
            runs[count++] = BlockStatus.Of(kind, at - offset);
            (offset, kind) = (at, next);
            if (count == runs.Length)
            {
                return offset;
            }
        }

        end = Math.Min(end, (first + entries) << bits);
        runs[count++] = BlockStatus.Of(kind, end - offset);
        return end;
    }

    /// <summary>Does the same where units are parts of clusters.</summary>
    private long DescribeUnits(MetadataBlock slice, int entry, long offset, long end, Span<BlockStatus> runs, ref int count)
    {
        L2Layout layout = Layout;
        int entries = _image.Map.SliceEntries;
        int unit = UnitAt(offset);
        long cluster = offset & -(long)ClusterSizeBytes;
        BlockMappingKind kind = default;
        long at = offset;
        for (; entry < entries && at < end; entry++, unit = 0, cluster += ClusterSizeBytes)
        {
            L2Entry value = layout.Read(slice, entry);
            while (unit < layout.Units && at < end)
            {
                unit += layout.RunAt(value, unit, out L2EntryKind next);
                if (MappingKind(next) != kind && at > offset)
                {
                    runs[count++] = BlockStatus.Of(kind, at - offset);
                    offset = at;
                    if (count == runs.Length)
                    {
                        return offset;
                    }
                }

                kind = MappingKind(next);
                at = Math.Min(end, cluster + ((long)unit << layout.UnitBits));
            }
        }

        runs[count++] = BlockStatus.Of(kind, at - offset);
        return at;
    }
}
