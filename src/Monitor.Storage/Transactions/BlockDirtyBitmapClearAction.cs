using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-clear</c>: all bits become clean.</summary>
internal sealed class BlockDirtyBitmapClearAction(BlockGraph graph, BlockDirtyBitmap arguments)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    private HierarchicalBitmap? _before;

    public override string ActionName => "block-dirty-bitmap-clear";

    public override void Abort() => Bitmaps.RestoreClear(Bitmap, _before!);

    protected override void Change() => _before = Bitmaps.Clear(Bitmap);
}
