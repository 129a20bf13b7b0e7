namespace Monitor.Block;

/// <summary>Where the bytes of one run of a node live.</summary>
public enum BlockMappingKind
{
    /// <summary>Data at <see cref="BlockMapping.Host"/> of <see cref="BlockMapping.Child"/>, or in the node itself when it has no child.</summary>
    Data,

    /// <summary>Reads as zeroes, recorded as such in this node.</summary>
    Zero,

    /// <summary>This node holds nothing here: the backing node does, or zeroes if there is none or it is too short.</summary>
    Backing,

    /// <summary>Compressed data, read only through the node.</summary>
    Compressed,
}

/// <summary>The answer of <see cref="BlockNode.MapAsync"/>: one run of equal kind, from the asked offset on.</summary>
/// <param name="Kind">Where the bytes live.</param>
/// <param name="Length">Bytes of the run; at least 1 and at most what was asked.</param>
/// <param name="Child">For <see cref="BlockMappingKind.Data"/>: the edge that holds the bytes; <see langword="null"/> in a node without children.</param>
/// <param name="Host">For <see cref="BlockMappingKind.Data"/>: their position in that child.</param>
public readonly record struct BlockMapping(BlockMappingKind Kind, long Length, BlockChild? Child = null, HostOffset Host = default);
