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

    public static DeviceManager DevicesOf(BlockGraph graph) => new(DrivesOf(graph));

    public static DaemonLifetime LifetimeOf(BlockGraph graph, JobManager jobs)
    {
        DeviceManager devices = DevicesOf(graph);
        return new DaemonLifetime(new ExportManager(graph, new ObjectStore(graph.ThrottleGroups), devices), jobs, devices.Drives);
    }
}
