namespace Monitor.Daemon.CommandLine;

/// <summary>What follows some errors on lines of their own, for a person.</summary>
internal static class ErrorHint
{
    /// <summary>The lines, each with its end; empty for most errors.</summary>
    public static string Of(string message) =>
        message.EndsWith(" expects an identifier", StringComparison.Ordinal)
            ? "Identifiers consist of letters, digits, '-', '.', '_', starting with a letter.\n"
        : message.EndsWith(" expects a non-negative number below 2^64", StringComparison.Ordinal)
            ? "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-\nand exabytes, respectively.\n"
        : message.StartsWith("UNIX socket path '", StringComparison.Ordinal) && message.EndsWith("' is too long", StringComparison.Ordinal)
            ? "Path must be less than 108 bytes\n"
        : "";
}
