namespace Monitor.Block;

/// <summary>What a reader of a node sees over one run, the backing chain included.</summary>
/// <param name="Length">Bytes of the run; at least 1.</param>
/// <param name="IsZero">Known to read as zeroes.</param>
/// <param name="IsData">Space is allocated for it somewhere in the chain (not a hole).</param>
/// <param name="IsAllocated">Held by one of the layers looked at (all, or those above the base asked for).</param>
/// <param name="Depth">How many nodes down the run was found; 0 is the top node. Meaningful when <paramref name="IsAllocated"/>.</param>
public readonly record struct BlockStatus(long Length, bool IsZero, bool IsData, bool IsAllocated, int Depth)
{
    /// <summary>What a node's own map says of a run.</summary>
    /// <param name="kind">Where its bytes live; for backing it is neither data nor known to be zeroes.</param>
    /// <param name="length">Bytes of the run.</param>
    /// <param name="depth">How many nodes down the node is.</param>
    public static BlockStatus Of(BlockMappingKind kind, long length, int depth = 0) => new(
        length,
        IsZero: kind == BlockMappingKind.Zero,
        IsData: kind is BlockMappingKind.Data or BlockMappingKind.Compressed,
        IsAllocated: kind != BlockMappingKind.Backing,
        depth);
}
