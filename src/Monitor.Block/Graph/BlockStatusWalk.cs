using System.Buffers;

namespace Monitor.Block;

/// <summary>Asks a chain of nodes what a reader sees: each layer's map, top first.</summary>
/// <remarks>
/// Run by run (<see cref="BlockNode.MapAsync"/>), or many runs in one go (<see cref="BlockNode.DescribeAsync"/>), which is what a client that
/// wants the map of a whole image asks for. Example: a top layer says "4 KiB mine, 1 MiB of the backing file", the backing file says
/// "64 KiB data, the rest zeroes" of that megabyte; a reader sees three runs.
/// </remarks>
public static class BlockStatusWalk
{
    /// <summary>The status of the range's first run.</summary>
    /// <param name="top">The node read from.</param>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="basis">Where to stop: this node and those below are not looked at; <see langword="null"/> for the whole chain.</param>
    public static ValueTask<BlockStatus> StatusAsync(BlockNode top, long offset, long length, BlockNode? basis = null) =>
        WalkAsync(top, offset, length, basis, depth: 0);

    /// <summary>The status of a range of the whole chain, run after run.</summary>
    /// <param name="top">The node read from.</param>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="runs">Filled from its start; neighbours may be alike.</param>
    /// <returns>Runs filled in, at least 1; together they may be shorter than the range.</returns>
    public static ValueTask<int> StatusAsync(BlockNode top, long offset, long length, Memory<BlockStatus> runs) =>
        DescribeAsync(top.SkipFilters(), offset, length, runs, depth: 0);

    private static async ValueTask<int> DescribeAsync(BlockNode node, long offset, long length, Memory<BlockStatus> runs, int depth)
    {
        if (offset >= node.SizeBytes)
        {
            runs.Span[0] = BehindTheEnd(length, depth);
            return 1;
        }

        length = Math.Min(length, node.SizeBytes - offset);
        if (node.Backing is { } backing)
        {
            return await DescribeLayersAsync(node, backing.Node.SkipFilters(), offset, length, runs, depth).ConfigureAwait(false);
        }

        int count = await node.DescribeAsync(offset, length, runs).ConfigureAwait(false);
        foreach (ref BlockStatus run in runs.Span[..count])
        {
            if (!run.IsAllocated)
            {
                run = Nowhere(run.Length, depth + 1);
            }
            else if (depth > 0)
            {
                run = run with { Depth = depth };
            }
        }

        return count;
    }

    /// <summary>Puts what the layers below say where a node holds nothing.</summary>
    private static async ValueTask<int> DescribeLayersAsync(
        BlockNode node, BlockNode backing, long offset, long length, Memory<BlockStatus> runs, int depth)
    {
        BlockStatus[] own = ArrayPool<BlockStatus>.Shared.Rent(runs.Length);
        try
        {
            int ownCount = await node.DescribeAsync(offset, length, own.AsMemory(0, runs.Length)).ConfigureAwait(false);
            int count = 0;
            for (int i = 0; i < ownCount && count < runs.Length; i++)
            {
                long end = offset + own[i].Length;
                if (own[i].IsAllocated)
                {
                    runs.Span[count++] = own[i] with { Depth = depth };
                    offset = end;
                }

                while (offset < end && count < runs.Length)
                {
                    int below = await DescribeAsync(backing, offset, end - offset, runs[count..], depth + 1).ConfigureAwait(false);
                    foreach (BlockStatus run in runs.Span.Slice(count, below))
                    {
                        offset += run.Length;
                    }

                    count += below;
                }
            }

            return count;
        }
        finally
        {
            ArrayPool<BlockStatus>.Shared.Return(own);
        }
    }

    /// <summary>Goes down as far as the layers answer at once; a map of many extents costs no state machine each.</summary>
    private static ValueTask<BlockStatus> WalkAsync(BlockNode? from, long offset, long length, BlockNode? basis, int depth)
    {
        for (BlockNode? node = from?.SkipFilters(); node is not null && node != basis; node = node.Backing?.Node.SkipFilters(), depth++)
        {
            if (offset >= node.SizeBytes)
            {
                return new ValueTask<BlockStatus>(BehindTheEnd(length, depth));
            }

            ValueTask<BlockMapping> map = node.MapAsync(offset, Math.Min(length, node.SizeBytes - offset));
            if (!map.IsCompletedSuccessfully)
            {
                return GoOnAsync(map, node, offset, basis, depth);
            }

            BlockMapping run = map.Result;
            if (run.Kind != BlockMappingKind.Backing)
            {
                return new ValueTask<BlockStatus>(BlockStatus.Of(run.Kind, run.Length, depth));
            }

            length = run.Length;
        }

        return new ValueTask<BlockStatus>(basis is null ? Nowhere(length, depth) : BlockStatus.Of(BlockMappingKind.Backing, length, depth));
    }

    private static async ValueTask<BlockStatus> GoOnAsync(ValueTask<BlockMapping> map, BlockNode node, long offset, BlockNode? basis, int depth)
    {
        BlockMapping run = await map.ConfigureAwait(false);
        return run.Kind != BlockMappingKind.Backing
            ? BlockStatus.Of(run.Kind, run.Length, depth)
            : await WalkAsync(node.Backing?.Node, offset, run.Length, basis, depth + 1).ConfigureAwait(false);
    }

    /// <summary>A layer shorter than the one above it hides everything below: it reads as zeroes from its end on.</summary>
    private static BlockStatus BehindTheEnd(long length, int depth) => BlockStatus.Of(BlockMappingKind.Zero, length, depth);

    /// <summary>No layer of the chain holds anything: it reads as zeroes.</summary>
    private static BlockStatus Nowhere(long length, int depth) => new(length, IsZero: true, IsData: false, IsAllocated: false, depth);
}
