using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="CopyOnReadNode"/>s.</summary>
internal sealed class CopyOnReadDriver : IBlockDriver
{
    public bool SupportsReopen => false;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", FilterNode.ChildRole, options.CopyOnRead.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) =>
        new CopyOnReadNode(settings, options.CopyOnRead.Bottom is { } name ? () => FindBottom(graph, name) : null);

    private static BlockNode FindBottom(BlockGraph graph, string name)
    {
        BlockNode bottom = graph.Find(name) ?? throw new QmpException($"Bottom node '{name}' not found");
        return bottom.IsFilter ? throw new QmpException($"Bottom node '{name}' is a filter") : bottom;
    }
}
