using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-merge</c>: the dirty bits of some bitmaps, of any node of the same size, are added to another.</summary>
internal sealed class BlockDirtyBitmapMergeAction(BlockGraph graph, BlockDirtyBitmapMerge arguments)
    : BitmapAction(graph, arguments.Node, arguments.Target)
{
    private HierarchicalBitmap? _before;

    public override string ActionName => "block-dirty-bitmap-merge";

    public override IEnumerable<BlockNode> DrainedNodes
    {
        get
        {
            foreach (BlockNode node in base.DrainedNodes)
            {
                yield return node;
            }

            foreach (BlockDirtyBitmapOrStr source in arguments.Bitmaps)
            {
                if (source.External is { } external && Graph.TryLookup(external.Node, external.Node) is { } node)
                {
                    yield return node;
                }
            }
        }
    }

    public override void Abort() => Bitmaps.Restore(Bitmap, _before!);

    protected override void Change()
    {
        // One by one, each looked up and checked before the next: which of several mistakes is named follows from it.
        HierarchicalBitmap gathered = Bitmaps.BeginMerge(Bitmap);
        foreach (BlockDirtyBitmapOrStr source in arguments.Bitmaps)
        {
            DirtyBitmap found = source.External is { } external
                ? BitmapLookup.Find(Graph, external.Node, external.Name).Bitmap
                : Bitmaps.Find(source.Local!);
            found.Owner.Gather(Bitmap, gathered, found);
        }

        _before = Bitmaps.Merge(Bitmap, gathered);
    }
}
