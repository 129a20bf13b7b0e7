namespace QmpShell;

/// <summary>What the user asked for on the command line.</summary>
internal sealed record ShellOptions
{
    /// <summary>Print replies and events indented.</summary>
    public bool Pretty { get; init; }

    /// <summary>Print requests too.</summary>
    public bool Verbose { get; init; }

    /// <summary>Leave the session in negotiation mode.</summary>
    public bool SkipNegotiation { get; init; }

    /// <summary>End a script at its first failure, with exit code 1.</summary>
    public bool StopOnError { get; init; }
}
