using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary>How an error chunk words that the medium failed.</summary>
internal static class NbdFailure
{
    /// <summary>The text for a command.</summary>
    public static string Describe(NbdCommand command) => command switch
    {
        NbdCommand.Read => "reading from file failed",
        NbdCommand.Write or NbdCommand.WriteZeroes => "writing to file failed",
        NbdCommand.Flush => "flush failed",
        NbdCommand.Trim => "discard failed",
        NbdCommand.Cache => "caching data failed",
        _ => "can't get block status",
    };
}
