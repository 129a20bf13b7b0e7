namespace Monitor.Block;

/// <summary>What the owner of a door adds to its requests: limits before, figures beside, and what becomes of a failure.</summary>
/// <remarks>Called on the data plane, from any thread. It waits outside the door, so a <see cref="DrainedSection"/> never waits for it.</remarks>
public interface IRequestPolicy
{
    /// <summary>Whether every write is to be durable before it is acknowledged.</summary>
    bool WritesThrough { get; }

    /// <summary>Waits until the request may begin.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="bytes">Its length; 0 for a flush.</param>
    /// <exception cref="BlockIoException">The device cannot take requests now, such as ENOMEDIUM while its tray is open.</exception>
    ValueTask AdmitAsync(BlockRequestKind kind, long bytes);

    /// <summary>Takes note of a request that succeeded, or whose failure is ignored.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="bytes">Its length.</param>
    /// <param name="started"><see cref="BlockStatistics.Now"/> when it came.</param>
    void CountDone(BlockRequestKind kind, long bytes, long started);

    /// <summary>Takes note of a request whose failure its sender is told.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="started"><see cref="BlockStatistics.Now"/> when it came.</param>
    void CountFailed(BlockRequestKind kind, long started);

    /// <summary>Takes note of a request that was refused: outside the medium, or a write to what is read-only.</summary>
    void CountInvalid(BlockRequestKind kind);

    /// <summary>Says what becomes of a request that the medium failed; may take as long as a retry is not possible.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="error">Why it failed.</param>
    ValueTask<FailedRequestFate> DecideAsync(BlockRequestKind kind, BlockIoException error);
}

/// <summary>What becomes of a failed request.</summary>
public enum FailedRequestFate
{
    /// <summary>Its sender is told.</summary>
    Report,

    /// <summary>Its sender is told that it succeeded.</summary>
    Ignore,

    /// <summary>It is done again.</summary>
    Retry,
}
