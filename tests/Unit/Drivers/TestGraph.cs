using Monitor.Block;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

/// <summary>A graph with its loop whose events go nowhere.</summary>
public sealed class TestGraph : IDisposable, IEventSink
{
    public TestGraph() => Graph = new BlockGraph(Loop, this);

    public MonitorLoop Loop { get; } = new();

    public BlockGraph Graph { get; }

    public BlockChild Attach(BlockNode parent, BlockNode child, string name, BlockChildRole role)
    {
        BlockChild? edge = null;
        Turn(() => edge = Graph.AttachChild(parent, child, name, role));
        return edge!;
    }

    public BlockBackend AttachRoot(BlockNode node, BlockPermission used, BlockPermission shared)
    {
        var door = new BlockBackend();
        Turn(() => Graph.AttachRoot(door, node, used, shared));
        return door;
    }

    public void Turn(Action action) => Loop.Run(static a => a(), action);

    public void Emit<TData>(string name, TData? data)
        where TData : class, IQapiOutput
    {
    }

    public void Dispose() => Loop.Dispose();
}
