namespace Monitor.Block;

/// <summary>Asks a chain of nodes what a reader sees: each layer's <see cref="BlockNode.MapAsync"/>, top first.</summary>
public static class BlockStatusWalk
{
    /// <summary>The status of the range's first run.</summary>
    /// <param name="top">The node read from.</param>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="basis">Where to stop: this node and those below are not looked at; <see langword="null"/> for the whole chain.</param>
    public static ValueTask<BlockStatus> StatusAsync(BlockNode top, long offset, long length, BlockNode? basis = null) =>
        WalkAsync(top, offset, length, basis, depth: 0);

    /// <summary>Goes down as far as the layers answer at once; a map of many extents costs no state machine each.</summary>
    private static ValueTask<BlockStatus> WalkAsync(BlockNode? from, long offset, long length, BlockNode? basis, int depth)
    {
        for (BlockNode? node = from?.SkipFilters(); node is not null && node != basis; node = node.Backing?.Node.SkipFilters(), depth++)
        {
            if (offset >= node.SizeBytes)
            {
                // A layer shorter than the one above it hides everything below: it reads as zeroes from its end on.
                return new ValueTask<BlockStatus>(new BlockStatus(length, IsZero: true, IsData: false, IsAllocated: true, depth));
            }

            ValueTask<BlockMapping> map = node.MapAsync(offset, Math.Min(length, node.SizeBytes - offset));
            if (!map.IsCompletedSuccessfully)
            {
                return GoOnAsync(map, node, offset, basis, depth);
            }

            BlockMapping run = map.Result;
            if (run.Kind != BlockMappingKind.Backing)
            {
                return new ValueTask<BlockStatus>(StatusOf(run, depth));
            }

            length = run.Length;
        }

        return new ValueTask<BlockStatus>(new BlockStatus(length, IsZero: basis is null, IsData: false, IsAllocated: false, depth));
    }

    private static async ValueTask<BlockStatus> GoOnAsync(ValueTask<BlockMapping> map, BlockNode node, long offset, BlockNode? basis, int depth)
    {
        BlockMapping run = await map.ConfigureAwait(false);
        return run.Kind != BlockMappingKind.Backing
            ? StatusOf(run, depth)
            : await WalkAsync(node.Backing?.Node, offset, run.Length, basis, depth + 1).ConfigureAwait(false);
    }

    private static BlockStatus StatusOf(in BlockMapping run, int depth) =>
        new(run.Length, run.Kind == BlockMappingKind.Zero, run.Kind != BlockMappingKind.Zero, IsAllocated: true, depth);
}
