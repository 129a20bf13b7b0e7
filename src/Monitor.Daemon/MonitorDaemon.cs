using System.Diagnostics.CodeAnalysis;
using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Qmp;
using Monitor.Storage;
using Monitor.Storage.Commands;
using Monitor.Storage.Drives;
using Monitor.Storage.Exports;
using Monitor.Storage.Objects;

namespace Monitor.Daemon;

/// <summary>Puts the floors together: one loop, one graph, one list of jobs, the commands on top, the sessions beside.</summary>
internal sealed class MonitorDaemon : IDisposable
{
    private readonly BlockGraph _graph;
    private readonly ExportManager _exports;

    /// <summary>Makes a daemon that listens nowhere yet.</summary>
    public MonitorDaemon()
    {
        Loop = new MonitorLoop();
        var events = new QmpEventBus(TimeProvider.System);
        _graph = new BlockGraph(Loop, events);
        var jobs = new JobManager(_graph);
        var objects = new ObjectStore(_graph.ThrottleGroups);
        RunState = new MachineRunState(events);
        Devices = new DeviceManager(new DriveManager(_graph, RunState));
        _exports = new ExportManager(_graph, objects, Devices);
        Lifetime = new DaemonLifetime(_exports, jobs, Devices.Drives);
        BlockNodes = new BlockNodeCommands(jobs, objects, Lifetime, Devices.Drives);
        Qdev = new QdevCommands(Devices, Lifetime);
        Exports = new ExportCommands(_graph, _exports, Lifetime);
        Misc = new MiscCommands(objects, Devices, Chardevs);
        Server = new QmpServer(new QmpDispatcher(MakeTable(jobs, objects), Loop), events);
    }

    /// <summary>Whose turns run the commands.</summary>
    public MonitorLoop Loop { get; }

    /// <summary>The character devices.</summary>
    public ChardevTable Chardevs { get; } = new();

    /// <summary>The sessions.</summary>
    public QmpServer Server { get; }

    /// <summary>The orderly end.</summary>
    public DaemonLifetime Lifetime { get; }

    /// <summary>What <c>--blockdev</c> calls.</summary>
    public BlockNodeCommands BlockNodes { get; }

    /// <summary>What <c>--nbd-server</c> and <c>--export</c> call.</summary>
    public ExportCommands Exports { get; }

    /// <summary>What <c>--drive</c> and <c>--device</c> call.</summary>
    public QdevCommands Qdev { get; }

    /// <summary>The guest devices and their drives.</summary>
    public DeviceManager Devices { get; }

    /// <summary>What <c>stop</c> and <c>cont</c> set.</summary>
    public MachineRunState RunState { get; }

    /// <summary>What <c>-name</c> and <c>-uuid</c> say.</summary>
    public MachineIdentity Identity { get; } = new();

    /// <summary>What human monitors call.</summary>
    public HmpCommands Hmp { get; private set; }

    /// <summary>What <c>--object</c> calls.</summary>
    public MiscCommands Misc { get; }

    /// <summary>Waits for the end, lets every session have its answers, and closes all nodes.</summary>
    /// <remarks>The program's first thread has nothing else to do; continuations would start the thread pool for the last few milliseconds.</remarks>
    public void RunToEnd()
    {
        Lifetime.Ended.GetAwaiter().GetResult();
        EndMonitors();
        Loop.RunAsync(async () => await _graph.CloseAllAsync()).GetAwaiter().GetResult();
    }

    /// <summary>Ends at once what a failed start has begun: nothing is served yet.</summary>
    public void Abandon()
    {
        Loop.RunAsync(() => Lifetime.EndAsync(ShutdownCause.HostError, "the start failed")).GetAwaiter().GetResult();
        RunToEnd();
    }

    /// <inheritdoc/>
    public void Dispose() => Loop.Dispose();

    /// <summary>Whatever fails here, the nodes are closed after it: that is what stores the bitmaps.</summary>
    private void EndMonitors()
    {
        try
        {
            Server.StopAsync().GetAwaiter().GetResult();
            Chardevs.Dispose();
        }
        catch (Exception e)
        {
            DaemonLog.Error("Daemon", $"the end goes on: {e}");
        }
    }

    [MemberNotNull(nameof(Hmp))]
    private QmpCommandTable MakeTable(JobManager jobs, ObjectStore objects)
    {
        var table = new QmpCommandTable();
        var control = new ControlCommands(Lifetime);
        QapiCommands.RegisterControl(table, control);
        QapiCommands.RegisterBlockNode(table, BlockNodes);
        QapiCommands.RegisterBitmap(table, new BitmapCommands(_graph));
        QapiCommands.RegisterJob(table, new JobCommands(jobs));
        QapiCommands.RegisterBlockJob(table, new BlockJobCommands(jobs, Lifetime));
        QapiCommands.RegisterExport(table, Exports);
        var transactions = new TransactionCommands(jobs, Lifetime);
        QapiCommands.RegisterTransaction(table, transactions);
        var chardevs = new CharCommands(Chardevs);
        QapiCommands.RegisterChar(table, chardevs);
        QapiCommands.RegisterMisc(table, Misc);
        QapiCommands.RegisterDescriptor(table, new DescriptorCommands());
        QapiCommands.RegisterMachine(table, new MachineCommands(objects, RunState, Identity));
        var blocks = new BlockCommands(Devices, Lifetime);
        QapiCommands.RegisterBlock(table, blocks);
        Qdev.Register(table);
        Hmp = new HmpCommands(jobs, control, BlockNodes, Exports, chardevs, RunState, Identity, transactions, blocks, Qdev, Devices);
        QapiCommands.RegisterHmp(table, Hmp);
        IntrospectCommands.Register(table);
        return table;
    }
}
