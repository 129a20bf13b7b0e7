namespace Monitor.Jobs;

/// <summary>What every job is told when it is made.</summary>
public record JobSettings
{
    /// <summary>The job's id: the client's, or the drive's name, or empty (which is refused).</summary>
    public required string JobId { get; init; }

    /// <summary>Makes its final change without <c>job-finalize</c>.</summary>
    public bool AutoFinalize { get; init; } = true;

    /// <summary>Vanishes at its end without <c>job-dismiss</c>.</summary>
    public bool AutoDismiss { get; init; } = true;

    /// <summary>The jobs that complete or fail with it; <see langword="null"/> for a job on its own.</summary>
    public JobTransaction? Transaction { get; init; }
}
