using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>Finds bitmaps by the names that clients give.</summary>
internal static class BitmapLookup
{
    /// <summary>The bitmap and its node.</summary>
    /// <exception cref="QmpException">Either does not exist.</exception>
    public static (BlockNode Node, DirtyBitmap Bitmap) Find(BlockGraph graph, string nodeName, string bitmapName)
    {
        BlockNode node = graph.TryLookup(nodeName, nodeName) ?? throw new QmpException($"Node '{nodeName}' not found");
        return (node, node.Bitmaps.Find(bitmapName));
    }
}
