using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class Qcow2NodeTests : DriverContract
{
    private TemporaryFile _file = null!;
    private TestGraph _graph = null!;

    [SetUp]
    public void MakeGraph()
    {
        _file = new TemporaryFile(0);
        _graph = new TestGraph();
    }

    [TearDown]
    public void RemoveGraph()
    {
        _graph.Dispose();
        _file.Dispose();
    }

    protected override async ValueTask<BlockNode> OpenAsync()
    {
        var file = new FileNode(Settings("f"), _file.Name);
        await file.OpenAsync();
        var node = new Qcow2Node(Settings(), null, _graph);
        _graph.Attach(node, file, "file", BlockChildRole.Image);
        await Qcow2Image.CreateAsync(file, new BlockdevCreateOptionsQcow2 { File = null!, Size = SizeBytes, ClusterSize = 4096 });
        await node.OpenAsync();
        return node;
    }
}
