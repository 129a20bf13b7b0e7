using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="CopyBeforeWriteNode"/>s.</summary>
internal sealed class CopyBeforeWriteDriver : IBlockDriver
{
    public bool SupportsReopen => false;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
    [
        new("file", FilterNode.ChildRole, options.CopyBeforeWrite.File),
        new("target", BlockChildRole.Data, options.CopyBeforeWrite.Target),
    ];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        BlockdevOptionsCbw cbw = options.CopyBeforeWrite;
        return new CopyBeforeWriteNode(settings, new CopyBeforeWriteOptions
        {
            Bitmap = cbw.Bitmap is { } bitmap ? Find(graph, bitmap) : null,
            FailsGuestWrites = cbw.OnCbwError != OnCbwError.BreakSnapshot,
            MinimumClusterBytes = cbw.MinClusterSize ?? 0,
            Timeout = TimeSpan.FromSeconds(cbw.CbwTimeout ?? 0),
            Time = graph.Time,
        });
    }

    private static DirtyBitmap Find(BlockGraph graph, BlockDirtyBitmap bitmap)
    {
        BlockNode node = graph.Find(bitmap.Node) ?? throw new QmpException($"Node '{bitmap.Node}' not found");
        return node.Bitmaps.Find(bitmap.Name);
    }
}
