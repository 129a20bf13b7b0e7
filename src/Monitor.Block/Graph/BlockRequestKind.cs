namespace Monitor.Block;

/// <summary>The kinds of request that are counted apart.</summary>
public enum BlockRequestKind
{
    /// <summary>Reads.</summary>
    Read,

    /// <summary>Writes, of zeroes too.</summary>
    Write,

    /// <summary>Flushes.</summary>
    Flush,

    /// <summary>Discards.</summary>
    Unmap,
}
