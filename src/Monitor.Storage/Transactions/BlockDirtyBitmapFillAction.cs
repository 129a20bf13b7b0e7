using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-fill</c>: all bits become dirty.</summary>
internal sealed class BlockDirtyBitmapFillAction(BlockGraph graph, BlockDirtyBitmap arguments)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    private HierarchicalBitmap? _before;

    public override string ActionName => "block-dirty-bitmap-fill";

    public override void Abort() => Bitmaps.Restore(Bitmap, _before!);

    protected override void Change() => _before = Bitmaps.Fill(Bitmap);
}
