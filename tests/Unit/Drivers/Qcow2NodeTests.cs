using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Unit.Drivers;

public sealed class Qcow2NodeTests : LayerContract
{
    protected override int MediumBytes => 0;

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        var node = new Qcow2Node(settings, null, Graph);
        Graph.Attach(node, medium, "file", BlockChildRole.Image);
        await Qcow2Image.CreateAsync(medium, new BlockdevCreateOptionsQcow2 { File = null!, Size = SizeBytes, ClusterSize = 4096 });
        await node.OpenAsync();
        return node;
    }
}
