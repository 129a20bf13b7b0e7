using Monitor.Qapi;
using NLog;
using NLog.Config;
using NLog.Layouts;
using NLog.Targets;
using Level = Monitor.Qapi.DaemonLog.Level;

namespace Monitor.Daemon.Logging;

/// <summary>Brings the lines of <see cref="DaemonLog"/> to stderr through NLog, on a thread of its own.</summary>
/// <remarks>
/// Making NLog costs 30 to 50 ms, twice what the whole start takes. So the thread begins with the first line and waits a moment before it
/// makes NLog: by then the first client has its greeting. Lines keep the time at which they were written.
/// </remarks>
internal sealed class LogWriter : IDisposable
{
    /// <summary>Lines that may wait; further ones are dropped and counted, so that a blocked stderr stops nobody.</summary>
    private const int MaximumWaiting = 10_000;

    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(250);

    private readonly object _gate = new();
    private Queue<Line> _waiting = new();
    private Thread? _thread;
    private int _dropped;
    private bool _ending;

    /// <summary>Takes a line; never blocks on the output.</summary>
    public void Write(Level level, string source, string text)
    {
        lock (_gate)
        {
            if (_ending || _waiting.Count >= MaximumWaiting)
            {
                _dropped++;
                return;
            }

            _waiting.Enqueue(new Line(DateTime.Now, level, source, text));
            if (_thread is null)
            {
                _thread = new Thread(Serve) { IsBackground = true, Name = "log" };
                _thread.Start();
            }

            System.Threading.Monitor.Pulse(_gate);
        }
    }

    /// <summary>Writes what waits and ends the thread.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _ending = true;
            System.Threading.Monitor.PulseAll(_gate);
        }

        _thread?.Join();
    }

    private static Logger MakeLogger()
    {
        var target = new ConsoleTarget("stderr") { StdErr = true, Layout = Layout.FromMethod(Format) };
        var configuration = new LoggingConfiguration();
        configuration.AddRule(LogLevel.Trace, LogLevel.Fatal, target);
        return new LogFactory { Configuration = configuration }.GetLogger("qmp-monitor");
    }

    private static string Format(LogEventInfo line) =>
        $"{line.TimeStamp:yyyy-MM-dd HH:mm:ss.fff} {line.Level.Name.ToLowerInvariant(),-5} {line.LoggerName,-7} {line.Message}";

    private static LogLevel ToNLog(Level level) => level switch
    {
        Level.Trace => LogLevel.Trace,
        Level.Debug => LogLevel.Debug,
        Level.Info => LogLevel.Info,
        Level.Warn => LogLevel.Warn,
        _ => LogLevel.Error,
    };

    private void Serve()
    {
        lock (_gate)
        {
            long begin = Environment.TickCount64;
            for (long left = (long)s_patience.TotalMilliseconds; left > 0 && !_ending;)
            {
                System.Threading.Monitor.Wait(_gate, (int)left);
                left = (long)s_patience.TotalMilliseconds - (Environment.TickCount64 - begin);
            }
        }

        Logger logger = MakeLogger();
        var lines = new Queue<Line>();
        while (TakeLines(ref lines))
        {
            while (lines.TryDequeue(out Line line))
            {
                logger.Log(new LogEventInfo(ToNLog(line.Level), line.Source, line.Text) { TimeStamp = line.Time });
            }
        }

        logger.Factory.Shutdown();
    }

    private bool TakeLines(ref Queue<Line> lines)
    {
        lock (_gate)
        {
            while (_waiting.Count == 0)
            {
                if (_ending)
                {
                    return false;
                }

                System.Threading.Monitor.Wait(_gate);
            }

            if (_dropped > 0)
            {
                _waiting.Enqueue(new Line(DateTime.Now, Level.Warn, "Daemon", $"{_dropped} lines dropped"));
                _dropped = 0;
            }

            (lines, _waiting) = (_waiting, lines);
            return true;
        }
    }

    private readonly record struct Line(DateTime Time, Level Level, string Source, string Text);
}
