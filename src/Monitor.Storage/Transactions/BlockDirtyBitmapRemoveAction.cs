using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-remove</c>: from memory at the instant, from the image afterwards.</summary>
internal sealed class BlockDirtyBitmapRemoveAction(BlockGraph graph, BlockDirtyBitmap arguments)
    : BitmapAction(graph, arguments.Node, arguments.Name)
{
    public override string ActionName => "block-dirty-bitmap-remove";

    public override bool HoldsGraph => true;

    public override void Commit() => Bitmaps.Release(Bitmap);

    public override void Abort() => Bitmaps.AbortRemove(Bitmap);

    public override async ValueTask CleanAsync()
    {
        if (Bitmap.IsPersistent && Bitmaps.Store is { } store)
        {
            await store.RemoveGoneAsync();
        }
    }

    protected override void Change() => Bitmaps.PrepareRemove(Bitmap);
}
