using Monitor.Daemon.CommandLine;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;
using Monitor.Storage.Commands;

namespace Monitor.Daemon;

/// <summary>Carries out the options of the command line, each before the next, as qemu-storage-daemon does.</summary>
/// <param name="daemon">What the options build.</param>
internal sealed class StartUp(MonitorDaemon daemon)
{
    private readonly Dictionary<string, SocketChardev> _chardevs = [];
    private readonly HashSet<string> _takenChardevs = [];
    private int _monitors;

    /// <summary>The path that <c>--pidfile</c> gave, if any.</summary>
    public string? PidFilePath { get; private set; }

    /// <summary>Carries out one option.</summary>
    /// <exception cref="CommandLineException">It cannot be done.</exception>
    public void Apply(CommandLineOption option)
    {
        if (option.Name == OptionName.Word)
        {
            throw new CommandLineException($"{option.Value}: Unexpected argument");
        }

        try
        {
            daemon.Loop.RunAsync(async () => await ApplyAsync(option.Name, option.Value)).GetAwaiter().GetResult();
        }
        catch (QmpException e)
        {
            throw new CommandLineException($"{option.Spelling}: {e.Message}");
        }
    }

    private ValueTask ApplyAsync(OptionName name, string value)
    {
        switch (name)
        {
            case OptionName.Blockdev:
                return daemon.BlockNodes.BlockdevAddAsync(BlockdevOptions.Read(KeyvalParser.Parse(value, "driver"), null));
            case OptionName.Object:
                return daemon.Misc.ObjectAddAsync(ObjectOptions.Read(KeyvalParser.Parse(value, "qom-type"), null));
            case OptionName.NbdServer:
                return daemon.Exports.StartServerAsync(NbdServerOptions.Read(KeyvalParser.Parse(value, null), null));
            case OptionName.Export:
                return daemon.Exports.BlockExportAddAsync(BlockExportOptions.Read(KeyvalParser.Parse(value, "type"), null));
            case OptionName.Chardev:
                AddChardev(SocketChardev.Parse(value));
                break;
            case OptionName.Monitor:
                AddMonitor(MonitorOptions.Read(KeyvalParser.Parse(value, "chardev"), null));
                break;
            case OptionName.Qmp:
                Listen(SocketChardev.ParseAddress($"qmp{_monitors}", value), null);
                break;
            case OptionName.PidFile:
                PidFilePath = value;
                break;
        }

        return default;
    }

    private void AddChardev(SocketChardev chardev)
    {
        if (!_chardevs.TryAdd(chardev.Id, chardev))
        {
            throw new QmpException($"attempt to add duplicate property '{chardev.Id}' to object (type 'container')");
        }
    }

    private void AddMonitor(MonitorOptions options)
    {
        if (!_chardevs.TryGetValue(options.Chardev, out SocketChardev? chardev))
        {
            throw new QmpException($"chardev \"{options.Chardev}\" not found");
        }

        if (!_takenChardevs.Add(options.Chardev))
        {
            throw new QmpException($"Device '{options.Chardev}' is in use");
        }

        if (options.Pretty == true)
        {
            DaemonLog.Warn("Daemon", "pretty=on is ignored: every reply is one line");
        }

        Listen(chardev, options.Id);
    }

    private void Listen(SocketChardev chardev, string? monitorId)
    {
        if (!chardev.IsServer)
        {
            throw new QmpException("only server=on is supported");
        }

        daemon.Server.Listen(chardev.Path, monitorId ?? $"monitor{_monitors}");
        _monitors++;
    }
}
