namespace Unit.Storage;

/// <summary>A change of a graph that may begin while requests are inside.</summary>
/// <param name="Name">For messages.</param>
/// <param name="Run">The command, as a turn.</param>
internal sealed record DrainedChange(string Name, Func<Task> Run)
{
    /// <summary>What is different afterwards, in the model; and commands that belong to it.</summary>
    public Func<Task> AfterAsync { get; init; } = () => Task.CompletedTask;

    /// <summary>Whether it must wait for what is inside the drive.</summary>
    public bool Waits { get; init; } = true;

    /// <summary>Whether requests that come meanwhile find no medium any more.</summary>
    public bool TakesMedium { get; init; }
}
