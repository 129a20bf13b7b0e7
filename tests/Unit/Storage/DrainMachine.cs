using Monitor.Block;
using Monitor.Block.Throttling;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage;
using Monitor.Storage.Commands;
using Monitor.Storage.Drives;
using Monitor.Storage.Exports;
using Monitor.Storage.Images;
using Monitor.Storage.Objects;
using Unit.Jobs;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Storage;

/// <summary>A device and an export with two disks, and what may be done to them.</summary>
/// <remarks>
/// Each disk is a chain of qcow2 images below a <see cref="HeldNode"/>. The drive points at one of the held nodes or at a filter above it,
/// the export's door is at the first. The clock of limits stands still.
/// </remarks>
internal sealed class DrainMachine : IDisposable
{
    public const int SizeBytes = 4 << 20;

    private const string Filter = "filter";
    private const string Target = "target";
    private const string Job = "job";
    private const string Group = "limits";
    private const string EndlessGroup = "endless";

    private readonly string _folder = Directory.CreateTempSubdirectory("unit-").FullName;
    private readonly BlockGraph _graph;
    private readonly JobManager _jobs;
    private readonly DeviceManager _devices;
    private readonly BlockNodeCommands _nodes;
    private readonly TransactionCommands _transactions;

    private DrainMachine()
    {
        _graph = new BlockGraph(Loop, new DiscardedEvents(), new ManualTime());
        _jobs = new JobManager(_graph, new QuickTime());
        _devices = TestMachine.DevicesOf(_graph);
        var objects = new ObjectStore(_graph.ThrottleGroups);
        var lifetime = new DaemonLifetime(new ExportManager(_graph, objects, _devices), _jobs, _devices.Drives);
        _nodes = new BlockNodeCommands(_jobs, objects, lifetime, _devices.Drives);
        _transactions = new TransactionCommands(_jobs, lifetime);
    }

    public MonitorLoop Loop { get; } = new();

    public RequestHold Hold { get; } = new();

    public DiskTwin[] Disks { get; } = [new("a", SizeBytes), new("b", SizeBytes)];

    /// <summary>The disk that the drive has.</summary>
    public DiskTwin DrivesDisk { get; private set; } = null!;

    public BlockBackend Export { get; } = new();

    /// <summary>What images held when an overlay was put upon them.</summary>
    public Dictionary<string, byte[]> Frozen { get; } = [];

    /// <summary>The device's drive, also while the device goes.</summary>
    public Drive Drive { get; private set; } = null!;

    private bool HasFilter => _graph.Find(Filter) is not null;

    private bool HasJob => _jobs.Jobs.Any(job => job.Id == Job);

    private DiskTwin OtherDisk => DrivesDisk == Disks[0] ? Disks[1] : Disks[0];

    public static async Task<DrainMachine> MakeAsync()
    {
        var machine = new DrainMachine();
        machine.Turn(() => machine._graph.ThrottleGroups.Add(Group));
        machine.Turn(() => machine._graph.ThrottleGroups.Add(EndlessGroup));
        foreach (DiskTwin disk in machine.Disks)
        {
            await machine.AddImageAsync(disk.Top);
            var held = new HeldNode(disk.Held, machine.Hold) { IsMonitorOwned = true };
            machine.Turn(() =>
            {
                machine._graph.AttachChild(held, machine._graph.Get(disk.Top), "file", BlockChildRole.Filtered | BlockChildRole.Primary);
                machine._graph.Add(held);
            });
            await held.OpenAsync();
        }

        machine.DrivesDisk = machine.Disks[0];
        await machine.Loop.RunAsync(machine.AddDeviceAsync);
        machine.Turn(() => machine._graph.AttachRoot(
            machine.Export, machine._graph.Get(machine.Disks[0].Held), BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All));
        return machine;
    }

    public void Dispose()
    {
        Hold.Open();
        Loop.RunAsync(async () =>
        {
            await _jobs.CancelAllAsync();
            await _devices.Drives.CloseAllAsync();
            await _graph.DetachRootAsync(Export);
            await _graph.CloseAllAsync();
        }).Wait();
        Loop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>Makes what a random change needs.</summary>
    public async Task<DrainedChange> PrepareAsync(Random random)
    {
        if (HasJob)
        {
            return new DrainedChange("cancel", CancelAsync) { AfterAsync = () => DeleteAsync(Target) };
        }

        return random.Next(10) switch
        {
            0 => await SnapshotAsync(isRefused: false),
            1 => await SnapshotAsync(isRefused: true),
            2 or 3 => await FilterAsync(random.Next(2) == 0),
            4 => await RepointAsync(),
            5 => new DrainedChange("reopen", () => ReopenAsync(random.Next(2) == 0)),
            6 => await BackupAsync(),
            7 => new DrainedChange("device_del", () => _devices.RemoveAsync("disk")) { TakesMedium = true, AfterAsync = () => Loop.RunAsync(AddDeviceAsync) },
            8 => await FileAsync(),
            _ => random.Next(2) == 0 ? Resize() : Throttle(random.Next(2) * 1_000_000),
        };
    }

    /// <summary>Limits what passes a filter; 0 ends it.</summary>
    public void Limit(long iops) => Turn(() => _graph.ThrottleGroups.Find(Group)!.Configuration = Limits(iops));

    /// <summary>Who stands on what, and what nodes are like.</summary>
    public string Describe()
    {
        string described = "";
        Turn(() => described = string.Join('\n', [
            $"drive: {NameOf(Drive.Backend)}",
            $"export: {NameOf(Export)}",
            .. _graph.Nodes.Select(node => $"{node.NodeName}: {string.Join(',', node.Children.Select(edge => edge.Node.NodeName))} {node.SizeBytes} {node.Settings}"),
        ]));
        return described;

        static string NameOf(BlockBackend door) => door.HasMedium ? door.Node.NodeName : "";
    }

    public async Task<byte[]> ContentOfAsync(string node)
    {
        BlockNode found = Loop.RunAsync(() => Task.FromResult(_graph.Get(node))).Result;
        byte[] content = new byte[found.SizeBytes];
        await found.ReadAsync(0, content);
        return content;
    }

    public void Turn(Action action) => Loop.Run(static a => a(), action);

    private static ThrottleConfiguration Limits(long iops)
    {
        long[] values = ThrottleConfiguration.Unlimited.Values.ToArray();
        values[ThrottleConfiguration.IndexOf("iops-total")] = iops;
        return new ThrottleConfiguration(values);
    }

    private static BlockdevOptions Parse(string options) => BlockdevOptions.Read(QmpInputVisitor.Parse(options), null);

    private async Task<DrainedChange> SnapshotAsync(bool isRefused)
    {
        DiskTwin disk = DrivesDisk;
        string overlay = isRefused ? "unused" : disk.NextImage;
        await AddImageAsync(overlay, disk.Content.Length);
        var snapshot = new TransactionAction
        {
            Type = TransactionActionKind.BlockdevSnapshot,
            Branch = new BlockdevSnapshotWrapper { Data = new BlockdevSnapshot { Node = disk.Top, Overlay = overlay } },
        };
        if (!isRefused)
        {
            return new DrainedChange("snapshot", async () => await _transactions.RunActionAsync(snapshot))
            {
                AfterAsync = () =>
                {
                    Frozen.Add(disk.Top, [.. disk.Content]);
                    disk.Images.Add(overlay);
                    return Task.CompletedTask;
                },
            };
        }

        var abort = new TransactionAction { Type = TransactionActionKind.Abort, Branch = new AbortWrapper { Data = new Abort() } };
        return new DrainedChange("refused", () => RefusedAsync([snapshot, abort])) { AfterAsync = () => DeleteAsync(overlay) };
    }

    private async Task RefusedAsync(IReadOnlyList<TransactionAction> actions)
    {
        try
        {
            await _transactions.TransactionAsync(new TransactionArguments { Actions = actions });
        }
        catch (QmpException)
        {
            return;
        }

        throw new InvalidOperationException("the transaction was not refused");
    }

    /// <summary>Puts a filter above the disk, with the drive, or takes it away.</summary>
    private async Task<DrainedChange> FilterAsync(bool isThrottle)
    {
        if (HasFilter)
        {
            return new DrainedChange("filter out", () => PointAsync(DrivesDisk.Held)) { AfterAsync = () => DeleteAsync(Filter) };
        }

        await AddFilterAsync(isThrottle);
        return new DrainedChange("filter in", () => PointAsync(Filter));
    }

    private Task AddFilterAsync(bool isThrottle) => AddAsync(
        $"{{'driver': '{(isThrottle ? $"throttle', 'throttle-group': '{Group}" : "copy-on-read")}', 'node-name': '{Filter}', 'discard': 'unmap', 'file': '{DrivesDisk.Held}'}}");

    /// <summary>Gives the drive the other disk.</summary>
    private Task<DrainedChange> RepointAsync()
    {
        DiskTwin to = OtherDisk;
        bool hadFilter = HasFilter;
        return Task.FromResult(new DrainedChange("re-point", () => PointAsync(to.Held))
        {
            AfterAsync = () =>
            {
                DrivesDisk = to;
                return hadFilter ? DeleteAsync(Filter) : Task.CompletedTask;
            },
        });
    }

    private Task PointAsync(string node) =>
        new DeviceTree(_devices).SetAsync("/machine/peripheral/disk", "drive", QmpInputVisitor.Parse($"{{'drive': '{node}'}}")).AsTask();

    private async Task ReopenAsync(bool isUnmap, string? file = null)
    {
        BlockNode node = _graph.Get(DrivesDisk.Top);
        file ??= node.Children.First(child => child.Name == "file").Node.NodeName;
        string backing = node.Backing is { } edge ? $"'backing': '{edge.Node.NodeName}', " : "";
        BlockdevOptions options = Parse(
            $"{{'driver': 'qcow2', 'node-name': '{node.NodeName}', {backing}'discard': '{(isUnmap ? "unmap" : "ignore")}', 'file': '{file}'}}");
        await _nodes.BlockdevReopenAsync(new BlockdevReopenArguments { Options = [options] });
    }

    /// <summary>Puts a filter between an image and its file, or takes it away.</summary>
    private async Task<DrainedChange> FileAsync()
    {
        string image = DrivesDisk.Top;
        string between = $"{image}-between";
        bool isThere = _graph.Find(between) is not null;
        if (!isThere)
        {
            await AddAsync($"{{'driver': 'throttle', 'throttle-group': '{EndlessGroup}', 'node-name': '{between}', 'discard': 'unmap', 'file': '{FileOf(image)}'}}");
        }

        return new DrainedChange("file", () => ReopenAsync(isUnmap: true, isThere ? FileOf(image) : between))
        {
            AfterAsync = () => isThere ? DeleteAsync(between) : Task.CompletedTask,
        };
    }

    private DrainedChange Resize()
    {
        DiskTwin disk = DrivesDisk;
        int size = disk.Content.Length + 65536;
        return new DrainedChange("resize", async () => await _nodes.BlockResizeAsync(new BlockResizeArguments { NodeName = disk.Top, Size = size }))
        {
            AfterAsync = () =>
            {
                byte[] larger = new byte[size];
                disk.Content.CopyTo(larger, 0);
                disk.Content = larger;
                return Task.CompletedTask;
            },
        };
    }

    private DrainedChange Throttle(long iops)
    {
        return new DrainedChange("throttle", SetAsync) { Waits = false };

        Task SetAsync()
        {
            _devices.Drives.SetLimits(Drive, Limits(iops), null, "disk");
            return Task.CompletedTask;
        }
    }

    private async Task<DrainedChange> BackupAsync()
    {
        DiskTwin disk = DrivesDisk;
        await AddAsync($"{{'driver': 'null-co', 'node-name': '{Target}', 'size': {disk.Content.Length}}}");
        var backup = new TransactionAction
        {
            Type = TransactionActionKind.BlockdevBackup,
            Branch = new BlockdevBackupWrapper
            {
                Data = new BlockdevBackup { JobId = Job, Device = disk.Top, Target = Target, Sync = MirrorSyncMode.None },
            },
        };
        return new DrainedChange("backup", async () => await _transactions.RunActionAsync(backup));
    }

    private async Task CancelAsync()
    {
        await _jobs.Get(Job).CancelAsync(force: true);
        while (HasJob)
        {
            await Task.Yield();
        }
    }

    private async Task AddDeviceAsync()
    {
        await _devices.AddAsync(LegacyOptions.Parse($"virtio-blk-pci,id=disk,share-rw=on,drive={(HasFilter ? Filter : DrivesDisk.Held)}", "driver"), isHotplugged: false);
        Drive = _devices.All[0].Drive!;
    }

    private async Task AddImageAsync(string name, long sizeBytes = SizeBytes)
    {
        string path = $"{_folder}/{name}";
        string file = $"{{'driver': 'file', 'filename': '{path}'";
        await File.WriteAllBytesAsync(path, []);
        string create = $"{{'driver': 'qcow2', 'size': {sizeBytes}, 'file': {file}}}}}";
        await Loop.RunAsync(() => ImageCreation.CreateAsync(_graph, BlockdevCreateOptions.Read(QmpInputVisitor.Parse(create), null)));
        await AddAsync($"{{'driver': 'qcow2', 'node-name': '{name}', 'backing': null, 'file': {file}, 'node-name': '{FileOf(name)}'}}}}");
    }

    private static string FileOf(string image) => $"{image}-file";

    private Task AddAsync(string options) => Loop.RunAsync(async () => await _nodes.BlockdevAddAsync(Parse(options)));

    private Task DeleteAsync(string node) => Loop.RunAsync(async () => await _nodes.BlockdevDelAsync(new BlockdevDelArguments { NodeName = node }));
}
