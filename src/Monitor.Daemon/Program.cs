using Monitor.Daemon.CommandLine;
using Monitor.Daemon.Logging;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Daemon;

/// <summary>The program <c>qmp-monitor</c>.</summary>
internal static class Program
{
    private const string Version = "qmp-monitor 0.1.0 (speaks the QMP of qemu-storage-daemon 7.2)";

    private static int Main(string[] arguments)
    {
        using var log = new LogWriter();
        try
        {
            int? status = ReadEarlyOptions(arguments, out List<CommandLineOption> options, out bool isBackground);
            if (status is null && isBackground && !Background.IsChild)
            {
                return Background.StartChild(arguments);
            }

            if (!isBackground)
            {
                DaemonLog.Writer = log.Write;
            }

            return status ?? Run(options, isBackground);
        }
        catch (CommandLineException e)
        {
            Print(Console.Error, $"qmp-monitor: {e.Message}\n{e.Hint}");
            return 1;
        }
    }

    /// <summary>Prints what nobody may be there to read.</summary>
    private static void Print(TextWriter writer, string text)
    {
        try
        {
            writer.Write(text);
        }
        catch (IOException e)
        {
            DaemonLog.Debug("Daemon", e.Message);
        }
    }

    /// <summary>Splits the arguments and obeys what counts before all else.</summary>
    /// <returns>The exit status when there is nothing more to do.</returns>
    private static int? ReadEarlyOptions(string[] arguments, out List<CommandLineOption> later, out bool isBackground)
    {
        later = [];
        isBackground = false;
        foreach (CommandLineOption option in CommandLineParser.Parse(arguments))
        {
            switch (option.Name)
            {
                case OptionName.Help:
                    Print(Console.Out, HelpText.Text);
                    return 0;
                case OptionName.Version:
                    Print(Console.Out, $"{Version}\n");
                    return 0;
                case OptionName.Object or OptionName.Chardev when OptionHelp.Of(option) is { } help:
                    Print(Console.Out, help);
                    return 0;
                case OptionName.Daemonize:
                    isBackground = true;
                    break;
                case OptionName.LogLevel:
                    DaemonLog.MinimumLevel = ParseLevel(option);
                    break;
                case OptionName.Compat when !option.Value.Contains('='):
                    ReplyExtensions.ShowsNewerMembers = IsNewest(option);
                    break;
                case OptionName.ErrorCodes:
                    ReplyExtensions.ShowsErrorCodes = true;
                    break;
                case OptionName.Trace:
                    break;
                default:
                    later.Add(option);
                    break;
            }
        }

        return null;
    }

    private static bool IsNewest(CommandLineOption option) => option.Value switch
    {
        "7.2" => false,
        "11.1" => true,
        _ => throw new CommandLineException($"{option.Spelling}: expects 7.2 or 11.1"),
    };

    private static DaemonLog.Level ParseLevel(CommandLineOption option) => option.Value switch
    {
        "trace" => DaemonLog.Level.Trace,
        "debug" => DaemonLog.Level.Debug,
        "info" => DaemonLog.Level.Info,
        "warn" => DaemonLog.Level.Warn,
        "error" => DaemonLog.Level.Error,
        _ => throw new CommandLineException($"{option.Spelling}: expects trace, debug, info, warn or error"),
    };

    /// <summary>Serves to the end. In the background there is nobody to read a log.</summary>
    private static int Run(List<CommandLineOption> options, bool isBackground)
    {
        if (isBackground)
        {
            Background.BeginSession();
        }

        using var daemon = new MonitorDaemon();
        PidFile? pidFile;
        try
        {
            pidFile = Start(daemon, options, isBackground);
        }
        catch (CommandLineException)
        {
            daemon.Abandon();
            throw;
        }

        using (pidFile)
        using (new ShutdownSignals(signal => daemon.Loop.Post(() => daemon.Lifetime.EndAsync(ShutdownCause.HostSignal, signal))))
        {
            if (isBackground)
            {
                Background.ReportStarted();
            }

            daemon.RunToEnd();
        }

        return 0;
    }

    private static void Apply(StartUp startUp, List<CommandLineOption> options)
    {
        foreach (CommandLineOption option in StartUp.InOrder(options))
        {
            startUp.Apply(option);
        }
    }

    private static PidFile? Start(MonitorDaemon daemon, List<CommandLineOption> options, bool isBackground)
    {
        var startUp = new StartUp(daemon, isBackground);
        Apply(startUp, options.FindAll(option => option.Name == OptionName.AddFd));
        Apply(startUp, options.FindAll(option => option.Name != OptionName.AddFd));

        startUp.Finish();

        NamedDescriptors.EndInheritance();
        DescriptorSets.CloseInherited();

        try
        {
            return startUp.PidFilePath is { } path ? new PidFile(path) : null;
        }
        catch (QmpException e)
        {
            throw new CommandLineException(null, e);
        }
    }
}
