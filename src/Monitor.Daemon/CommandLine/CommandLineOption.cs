namespace Monitor.Daemon.CommandLine;

/// <summary>One option as given.</summary>
/// <param name="Name">Which option.</param>
/// <param name="Value">Its value; empty for an option that takes none.</param>
/// <param name="Spelling">As it stood on the command line, for error texts: <c>--blockdev driver=x</c>.</param>
/// <param name="IsEarly">Whether it counts before all others.</param>
internal sealed record CommandLineOption(OptionName Name, string Value, string Spelling, bool IsEarly = false);
