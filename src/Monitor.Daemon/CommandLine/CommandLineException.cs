namespace Monitor.Daemon.CommandLine;

/// <summary>The command line cannot be followed: the program says why on stderr and ends with status 1.</summary>
/// <param name="message">The whole line after the program's name.</param>
internal sealed class CommandLineException(string message) : Exception(message);
