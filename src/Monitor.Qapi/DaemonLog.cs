namespace Monitor.Qapi;

/// <summary>The daemon's own log as every floor sees it: one line per session, job, export or graph change.</summary>
/// <remarks>The roof sets <see cref="Writer"/>; the logging library behind it is made at the first line, which keeps it off the start path.</remarks>
public static class DaemonLog
{
    /// <summary>How much a line matters, least first; the names are those of the command line's <c>--log-level</c>.</summary>
    public enum Level
    {
        /// <summary>Per request; off unless asked for.</summary>
        Trace,

        /// <summary>Inner steps of an operation.</summary>
        Debug,

        /// <summary>What happened: a session, job, export or graph change.</summary>
        Info,

        /// <summary>Something failed and was dealt with.</summary>
        Warn,

        /// <summary>Something failed that should not have.</summary>
        Error,
    }

    /// <summary>Takes every line at or above <see cref="MinimumLevel"/>: level, source room (such as <c>Qmp</c>), text.</summary>
    public static Action<Level, string, string>? Writer { get; set; }

    /// <summary>Lines below this level are not made.</summary>
    public static Level MinimumLevel { get; set; } = Level.Info;

    /// <summary>Whether a line of <paramref name="level"/> would be written; ask before building a costly text.</summary>
    public static bool IsEnabled(Level level) => level >= MinimumLevel && Writer is not null;

    /// <summary>Writes a <see cref="Level.Debug"/> line.</summary>
    public static void Debug(string source, string text) => Write(Level.Debug, source, text);

    /// <summary>Writes a <see cref="Level.Info"/> line.</summary>
    public static void Info(string source, string text) => Write(Level.Info, source, text);

    /// <summary>Writes a <see cref="Level.Warn"/> line.</summary>
    public static void Warn(string source, string text) => Write(Level.Warn, source, text);

    /// <summary>Writes a <see cref="Level.Error"/> line.</summary>
    public static void Error(string source, string text) => Write(Level.Error, source, text);

    private static void Write(Level level, string source, string text)
    {
        if (IsEnabled(level))
        {
            Writer!(level, source, text);
        }
    }
}
