using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>What every block job is told when it is made.</summary>
public record BlockJobSettings : JobSettings
{
    /// <summary>Limit in bytes per second; 0 is none, a negative one is refused.</summary>
    public long SpeedBytesPerSecond { get; init; }

    /// <summary>What to do when a read from the source fails.</summary>
    public BlockdevOnError OnSourceError { get; init; } = BlockdevOnError.Report;

    /// <summary>What to do when a write to the target fails.</summary>
    public BlockdevOnError OnTargetError { get; init; } = BlockdevOnError.Report;
}
