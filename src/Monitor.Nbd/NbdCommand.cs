namespace Monitor.Nbd;

/// <summary>What a request of the transmission phase asks for (NBD specification, "Request types").</summary>
public enum NbdCommand : ushort
{
    /// <summary>Sends bytes back.</summary>
    Read = 0,

    /// <summary>Takes bytes that follow the request.</summary>
    Write = 1,

    /// <summary>Ends the session; has no reply.</summary>
    Disconnect = 2,

    /// <summary>Makes every replied-to write durable.</summary>
    Flush = 3,

    /// <summary>Says that a range is of no more use.</summary>
    Trim = 4,

    /// <summary>Asks that a range be made quick to read.</summary>
    Cache = 5,

    /// <summary>Makes a range read as zeroes.</summary>
    WriteZeroes = 6,

    /// <summary>Asks for the extents of a range in the chosen meta contexts.</summary>
    BlockStatus = 7,
}
