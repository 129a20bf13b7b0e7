namespace Monitor.Block;

/// <summary>Asks a chain of nodes what a reader sees: each layer's <see cref="BlockNode.MapAsync"/>, top first.</summary>
public static class BlockStatusWalk
{
    /// <summary>The status of the range's first run.</summary>
    /// <param name="top">The node read from.</param>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="basis">Where to stop: this node and those below are not looked at; <see langword="null"/> for the whole chain.</param>
    public static async ValueTask<BlockStatus> StatusAsync(BlockNode top, long offset, long length, BlockNode? basis = null)
    {
        int depth = 0;
        for (BlockNode? node = top.SkipFilters(); node is not null && node != basis; node = node.Backing?.Node.SkipFilters(), depth++)
        {
            if (offset >= node.SizeBytes)
            {
                // A layer shorter than the one above it hides everything below: it reads as zeroes from its end on.
                return new BlockStatus(length, IsZero: true, IsData: false, IsAllocated: true, depth);
            }

            BlockMapping run = await node.MapAsync(offset, Math.Min(length, node.SizeBytes - offset)).ConfigureAwait(false);
            if (run.Kind != BlockMappingKind.Backing)
            {
                return new BlockStatus(run.Length, run.Kind == BlockMappingKind.Zero, run.Kind != BlockMappingKind.Zero, IsAllocated: true, depth);
            }

            length = run.Length;
        }

        return new BlockStatus(length, IsZero: basis is null, IsData: false, IsAllocated: false, depth);
    }
}
