using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-enable</c>: the bitmap records from now on.</summary>
internal sealed class BlockDirtyBitmapEnableAction(BlockGraph graph, BlockDirtyBitmap arguments)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    private bool _wasEnabled;

    public override string ActionName => "block-dirty-bitmap-enable";

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

    protected override void Change() => _wasEnabled = Bitmaps.Enable(Bitmap);
}
