using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-enable</c> and <c>-disable</c>: whether the bitmap records from now on; its bits stay.</summary>
internal sealed class BitmapRecordingAction(BlockGraph graph, BlockDirtyBitmap arguments, bool records)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    private bool _recordedBefore;

    public override string ActionName => records ? "block-dirty-bitmap-enable" : "block-dirty-bitmap-disable";

    public override void Abort() => Set(_recordedBefore);

    protected override void Change() => _recordedBefore = Set(records);

    private bool Set(bool enabled) => enabled ? Bitmaps.Enable(Bitmap) : Bitmaps.Disable(Bitmap);
}
