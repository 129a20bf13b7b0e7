using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Transactions;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>bitmap</c>, except what is a transaction of one.</summary>
/// <param name="graph">The nodes.</param>
public sealed class BitmapCommands(BlockGraph graph) : IBitmapCommands
{
    private const long DefaultMaxRanges = 1024;
    private const long MaxRangesLimit = 65536;

    /// <inheritdoc/>
    public ValueTask<BlockDirtyBitmapRanges> QueryBlockDirtyBitmapRangesAsync(QueryBlockDirtyBitmapRangesArguments arguments)
    {
        var (node, bitmap) = BitmapLookup.Find(graph, arguments.Node, arguments.Name);
        long offset = arguments.Offset ?? 0;
        long maxRanges = arguments.MaxRanges ?? DefaultMaxRanges;
        if (offset < 0)
        {
            throw new QmpException("Parameter 'offset' expects a non-negative value");
        }

        if (maxRanges is < 1 or > MaxRangesLimit)
        {
            throw new QmpException($"Parameter 'max-ranges' expects a value from 1 to {MaxRangesLimit}");
        }

        IReadOnlyList<(long Offset, long Length)> dirty = node.Bitmaps.DirtyRanges(bitmap, offset, (int)maxRanges, out long? next);
        var ranges = new List<BlockDirtyBitmapRange>(dirty.Count);
        foreach ((long start, long length) in dirty)
        {
            ranges.Add(new BlockDirtyBitmapRange { Offset = start, Length = length });
        }

        return new(new BlockDirtyBitmapRanges { Ranges = ranges, NextOffset = next });
    }

    /// <inheritdoc/>
    public ValueTask<BlockDirtyBitmapSha256> XDebugBlockDirtyBitmapSha256Async(BlockDirtyBitmap arguments)
    {
        var (node, bitmap) = BitmapLookup.Find(graph, arguments.Node, arguments.Name);
        return new(new BlockDirtyBitmapSha256 { Sha256 = node.Bitmaps.Sha256(bitmap) });
    }
}
