using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Transactions;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>bitmap</c>, except what is a transaction of one.</summary>
/// <param name="graph">The nodes.</param>
public sealed class BitmapCommands(BlockGraph graph) : IBitmapCommands
{
    /// <inheritdoc/>
    public ValueTask<BlockDirtyBitmapSha256> XDebugBlockDirtyBitmapSha256Async(BlockDirtyBitmap arguments)
    {
        var (node, bitmap) = BitmapLookup.Find(graph, arguments.Node, arguments.Name);
        return new(new BlockDirtyBitmapSha256 { Sha256 = node.Bitmaps.Sha256(bitmap) });
    }
}
