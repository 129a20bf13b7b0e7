namespace Monitor.Block.Drivers;

/// <summary>Room that a format made for a write: where the bytes go, what must be copied around them, and how it ends.</summary>
public abstract class ClusterAllocation
{
    /// <summary>Bytes of the write that this room takes, from its first byte on; at least 1.</summary>
    public required long Length { get; init; }

    /// <summary>The edge that holds the room.</summary>
    public required BlockChild Child { get; init; }

    /// <summary>Where the write's first byte goes.</summary>
    public required HostOffset Host { get; init; }

    /// <summary>Guest bytes right before the write that must be copied into the room before it is linked.</summary>
    public required int HeadBytes { get; init; }

    /// <summary>Guest bytes right after the write that must be copied into the room before it is linked.</summary>
    public required int TailBytes { get; init; }

    /// <summary>Makes the tables point at the room; every byte of it has been written.</summary>
    /// <exception cref="BlockIoException">The metadata could not be changed; the room has been given back.</exception>
    public abstract ValueTask LinkAsync();

    /// <summary>Gives the room back: its bytes could not be written.</summary>
    public abstract ValueTask AbandonAsync();
}
