namespace Monitor.Block;

/// <summary>What a write asks for besides its bytes.</summary>
[Flags]
public enum BlockWriteFlags
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>Durable when acknowledged (force unit access).</summary>
    Fua = 1,

    /// <summary>Zeroes may be made by giving space back (NBD: NO_HOLE not set).</summary>
    MayUnmap = 2,

    /// <summary>Zeroes only if cheap: fail with ENOTSUP rather than write them out (NBD: FAST_ZERO).</summary>
    NoFallback = 4,

    /// <summary>The guest-visible content does not change (copy-on-read, stream): marks no dirty bitmap.</summary>
    Unchanged = 8,

    /// <summary>Store compressed; only whole clusters, only on formats that can.</summary>
    Compressed = 16,

    /// <summary>Only where the node holds nothing by then: what it holds stays (copy-on-read, stream). Only on formats with backing nodes; goes with Unchanged.</summary>
    CopyUp = 32,
}
