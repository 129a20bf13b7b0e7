using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage;
using Monitor.Storage.Drives;
using Monitor.Storage.Exports;
using Monitor.Storage.Objects;

namespace Unit.Storage;

/// <summary>What is above a graph in a daemon, made for one test.</summary>
internal static class TestMachine
{
    public static DriveManager DrivesOf(BlockGraph graph) => new(graph, new MachineRunState(graph.Events));

    /// <summary>A drive that a device uses, its medium the node.</summary>
    public static async Task<Drive> AddDriveAsync(BlockGraph graph, DeviceManager devices, BlockNode node, string properties = "")
    {
        await graph.Loop.RunAsync(() => devices.AddAsync(
            LegacyOptions.Parse($"virtio-blk-pci,id=disk,drive={node.NodeName},{properties}", "driver"), isHotplugged: false));
        return devices.All[^1].Drive!;
    }

    public static DeviceManager DevicesOf(BlockGraph graph) => new(DrivesOf(graph));

    public static DaemonLifetime LifetimeOf(BlockGraph graph, JobManager jobs)
    {
        DeviceManager devices = DevicesOf(graph);
        return new DaemonLifetime(new ExportManager(graph, new ObjectStore(graph.ThrottleGroups), devices), jobs, devices.Drives);
    }
}
