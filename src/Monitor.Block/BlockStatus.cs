namespace Monitor.Block;

/// <summary>What a reader of a node sees over one run, the backing chain included.</summary>
/// <param name="Length">Bytes of the run; at least 1.</param>
/// <param name="IsZero">Known to read as zeroes.</param>
/// <param name="IsData">Space is allocated for it somewhere in the chain (not a hole).</param>
/// <param name="IsAllocated">Held by one of the layers looked at (all, or those above the base asked for).</param>
/// <param name="Depth">How many nodes down the run was found; 0 is the top node. Meaningful when <paramref name="IsAllocated"/>.</param>
public readonly record struct BlockStatus(long Length, bool IsZero, bool IsData, bool IsAllocated, int Depth);
