using Monitor.Daemon.CommandLine;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;
using Monitor.Qmp;
using Monitor.Storage;
using Monitor.Storage.Commands;

namespace Monitor.Daemon;

/// <summary>Carries out the options of the command line, each before the next, as qemu-storage-daemon does.</summary>
/// <param name="daemon">What the options build.</param>
/// <param name="isBackground">Whether the daemon goes to the background when all options are carried out.</param>
internal sealed class StartUp(MonitorDaemon daemon, bool isBackground)
{
    /// <summary>Monitors that wait for the end of the options, with the option that asked for each.</summary>
    private readonly List<(string Spelling, Action Serve)> _monitors = [];

    /// <summary>The path that <c>--pidfile</c> gave, if any.</summary>
    public string? PidFilePath { get; private set; }

    /// <summary>The options in the order in which they are carried out: the machine first, devices after all that they may use, the rest as given.</summary>
    public static IEnumerable<CommandLineOption> InOrder(List<CommandLineOption> given)
    {
        List<CommandLineOption> options = given.FindAll(option => option.Name != OptionName.Machine);
        int last = options.FindLastIndex(option => option.Name is OptionName.Drive or OptionName.Blockdev or OptionName.Object);
        IEnumerable<CommandLineOption> early = options.Take(last + 1);
        return given.Where(option => option.Name == OptionName.Machine)
            .Concat(early.Where(option => option.Name == OptionName.Snapshot))
            .Concat(early.Where(option => option.Name is not (OptionName.Device or OptionName.Snapshot)))
            .Concat(early.Where(option => option.Name == OptionName.Device))
            .Concat(options.Skip(last + 1));
    }

    /// <summary>Does what is left when all options were carried out: monitors are served from now on, so that no client ever sees half of what
    /// the options make.</summary>
    /// <exception cref="CommandLineException">It cannot be done.</exception>
    public void Finish()
    {
        try
        {
            daemon.Loop.RunAsync(async () => await daemon.Qdev.AddAwaitedDevicesAsync()).GetAwaiter().GetResult();
        }
        catch (QmpException e)
        {
            throw new CommandLineException(null, e);
        }

        _monitors.ForEach(Serve);
    }

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
            daemon.Loop.RunAsync(async () => await ApplyAsync(option)).GetAwaiter().GetResult();
        }
        catch (QmpException e)
        {
            throw new CommandLineException(option.Spelling, e);
        }
    }

    private static void Serve((string Spelling, Action Serve) monitor)
    {
        try
        {
            monitor.Serve();
        }
        catch (QmpException e)
        {
            throw new CommandLineException(monitor.Spelling, e);
        }
    }

    private ValueTask ApplyAsync(CommandLineOption option)
    {
        string value = option.Value;
        switch (option.Name)
        {
            case OptionName.Blockdev:
                return daemon.BlockNodes.BlockdevAddAsync(BlockdevOptions.Read(KeyvalParser.Parse(value, "driver"), null));
            case OptionName.Drive:
                return daemon.Qdev.AddDriveAtStartAsync(value);
            case OptionName.Device:
                return daemon.Qdev.AddAtStartAsync(value);
            case OptionName.Snapshot:
                daemon.Devices.Drives.DiscardsWrites = true;
                break;
            case OptionName.Paused:
                daemon.RunState.Begin(RunState.Prelaunch);
                break;
            case OptionName.Incoming:
                BeginIncoming(value);
                break;
            case OptionName.Object:
                return daemon.Misc.ObjectAddAsync(ObjectOptions.Read(KeyvalParser.Parse(value, "qom-type"), null));
            case OptionName.NbdServer:
                return daemon.Exports.StartServerAsync(NbdServerOptions.Read(KeyvalParser.Parse(value, null), null));
            case OptionName.Export:
                return daemon.Exports.BlockExportAddAsync(BlockExportOptions.Read(KeyvalParser.Parse(value, "type"), null));
            case OptionName.Chardev:
                return new(AddChardevAsync(ChardevOption.Parse(value)));
            case OptionName.Monitor when value == "none":
                break;
            case OptionName.Monitor:
                AddMonitor(option.Spelling, MonitorOptions.Read(KeyvalParser.Parse(value, "chardev"), null));
                break;
            case OptionName.Qmp:
            case OptionName.QmpPretty:
                return new(AddQmpAsync(option, ChardevOption.ParseAddress($"compat_monitor{_monitors.Count}", value)));
            case OptionName.Machine:
                daemon.Devices.TakeMachine(value);
                break;
            case OptionName.MachineName:
                daemon.Identity.TakeName(value);
                break;
            case OptionName.MachineUuid:
                daemon.Identity.TakeUuid(value);
                break;
            case OptionName.AddFd:
                AddDescriptor(LegacyOptions.Parse(value, ""));
                break;
            case OptionName.PidFile:
                PidFilePath = value;
                break;
        }

        return default;
    }

    private static void AddDescriptor(Dictionary<string, string> options)
    {
        LegacyOptions.CheckKnown(options, ["fd", "set", "opaque"]);
        long descriptor = LegacyOptions.Number(options, "fd") ?? -1;
        long set = LegacyOptions.Number(options, "set") ?? -1;
        if (descriptor is < 0 or > int.MaxValue)
        {
            throw new QmpException("fd option is required and must be non-negative");
        }

        DescriptorSets.AddInherited((int)descriptor, set, options.GetValueOrDefault("opaque"));
    }

    private void BeginIncoming(string address)
    {
        if (address != "defer")
        {
            throw new QmpException("only 'defer' is supported: nothing migrates here");
        }

        daemon.RunState.Begin(RunState.Inmigrate);
    }

    private async Task<Chardev> AddChardevAsync(ChardevOption option)
    {
        if (daemon.Chardevs.TryGet(option.Id, out _))
        {
            throw new QmpException($"attempt to add duplicate property '{option.Id}' to object (type 'container')");
        }

        if (isBackground && option.Backend.Type == ChardevBackendKind.Stdio)
        {
            throw new QmpException("cannot use stdio with -daemonize");
        }

        return await daemon.Chardevs.AddAsync(option.Id, option.Backend);
    }

    private void AddMonitor(string spelling, MonitorOptions options)
    {
        if (!daemon.Chardevs.TryGet(options.Chardev, out Chardev? chardev))
        {
            throw new QmpException($"chardev \"{options.Chardev}\" not found");
        }

        string id = options.Id ?? $"monitor{_monitors.Count}";
        if (options.Mode != MonitorMode.Readline)
        {
            _monitors.Add((spelling, () => daemon.Server.AddMonitor(chardev, id, options.Pretty ?? false)));
        }
        else if (options.Pretty == true)
        {
            throw new QmpException("'pretty' is not compatible with HMP monitors");
        }
        else
        {
            _monitors.Add((spelling, () => daemon.Server.AddHumanMonitor(chardev, id, line => daemon.Loop.RunAsync(() => daemon.Hmp.RunLineAsync(line)))));
        }
    }

    private async Task AddQmpAsync(CommandLineOption option, ChardevOption device)
    {
        string id = $"monitor{_monitors.Count}";
        Chardev chardev = await AddChardevAsync(device);
        _monitors.Add((option.Spelling, () => daemon.Server.AddMonitor(chardev, id, option.Name == OptionName.QmpPretty)));
    }
}
