namespace Monitor.Nbd;

/// <summary>What a chunk of a structured reply holds; errors have bit 15 set (NBD specification, "Structured reply types").</summary>
public enum NbdChunkType : ushort
{
    /// <summary>Nothing; only marks the end.</summary>
    None = 0,

    /// <summary>A 64-bit offset and the bytes there.</summary>
    OffsetData = 1,

    /// <summary>A range that reads as zeroes.</summary>
    OffsetHole = 2,

    /// <summary>The extents of one meta context.</summary>
    BlockStatus = 5,

    /// <summary>An error of the whole request.</summary>
    Error = 0x8001,

    /// <summary>An error at an offset.</summary>
    ErrorOffset = 0x8002,
}
