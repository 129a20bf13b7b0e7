using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>What the actions on one existing bitmap have in common: finding it, and the doors above its node.</summary>
/// <param name="graph">Where the node is.</param>
/// <param name="nodeName">The node's name, or a drive's.</param>
/// <param name="bitmapName">The bitmap's name.</param>
internal abstract class BitmapAction(BlockGraph graph, string nodeName, string bitmapName) : TransactionStep
{
    private DirtyBitmap? _bitmap;

    public override IEnumerable<BlockNode> DrainedNodes => Graph.TryLookup(nodeName, nodeName) is { } node ? [node] : [];

    /// <summary>Where the nodes are.</summary>
    protected BlockGraph Graph { get; } = graph;

    /// <summary>The bitmap, once found.</summary>
    protected DirtyBitmap Bitmap => _bitmap!;

    /// <summary>Its node's bitmaps.</summary>
    protected NodeBitmaps Bitmaps => _bitmap!.Owner;

    public sealed override void Prepare()
    {
        _bitmap = BitmapLookup.Find(Graph, nodeName, bitmapName).Bitmap;
        Change();
    }

    /// <summary>Does the action on <see cref="Bitmap"/>.</summary>
    /// <exception cref="QmpException">Its state forbids it; nothing was changed.</exception>
    protected abstract void Change();
}
