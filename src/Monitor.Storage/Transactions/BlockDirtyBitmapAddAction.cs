using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-add</c>: a new, clean bitmap.</summary>
internal sealed class BlockDirtyBitmapAddAction(BlockGraph graph, BlockDirtyBitmapAdd arguments) : TransactionStep
{
    private DirtyBitmap? _bitmap;

    public override string ActionName => "block-dirty-bitmap-add";

    public override IEnumerable<BlockNode> DrainedNodes => graph.TryLookup(arguments.Node, arguments.Node) is { } node ? [node] : [];

    public override void Prepare()
    {
        NodeBitmaps.CheckName(arguments.Name);
        BlockNode node = graph.GetDeviceOrNode(arguments.Node);
        uint granularity = arguments.Granularity ?? NodeBitmaps.DefaultGranularity(node.ClusterSizeBytes);
        _bitmap = node.Bitmaps.Add(arguments.Name, granularity, arguments.Persistent ?? false, arguments.Disabled ?? false);
    }

    public override void Abort() => _bitmap!.Owner.Release(_bitmap);
}
