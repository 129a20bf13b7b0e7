using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-disable</c>: the bitmap stops recording; its bits stay.</summary>
internal sealed class BlockDirtyBitmapDisableAction(BlockGraph graph, BlockDirtyBitmap arguments)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    private bool _wasEnabled;

    public override string ActionName => "block-dirty-bitmap-disable";

    public override void Abort()
    {
        if (_wasEnabled)
        {
            Bitmaps.Enable(Bitmap);
        }
        else
        {
            Bitmaps.Disable(Bitmap);
        }
    }

    protected override void Change() => _wasEnabled = Bitmaps.Disable(Bitmap);
}
