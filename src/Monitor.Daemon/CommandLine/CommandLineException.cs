using Monitor.Qapi;

namespace Monitor.Daemon.CommandLine;

/// <summary>The command line cannot be followed: the program says why on stderr and ends with status 1.</summary>
/// <param name="message">The whole line after the program's name.</param>
internal sealed class CommandLineException(string message) : Exception(message)
{
    /// <summary>Makes one of what an option's work was refused for.</summary>
    /// <param name="spelling">The option as it stood, if one is to blame.</param>
    /// <param name="refusal">The refusal.</param>
    public CommandLineException(string? spelling, QmpException refusal)
        : this(spelling is null ? refusal.Message : $"{spelling}: {refusal.Message}") =>
        Hint = refusal.Hint is { } hint ? $"{hint}\n" : ErrorHint.Of(refusal.Message);

    /// <summary>Lines below it for a person, each with its end; mostly none.</summary>
    public string Hint { get; } = "";
}
