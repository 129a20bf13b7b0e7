using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="CopyOnReadNode"/>s.</summary>
internal sealed class CopyOnReadDriver : IBlockDriver
{
    public bool SupportsReopen => false;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", FilterNode.ChildRole, options.CopyOnRead.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        BlockNode? bottom = null;
        if (options.CopyOnRead.Bottom is { } name)
        {
            bottom = graph.Find(name) ?? throw new QmpException($"Bottom node '{name}' not found");
            if (bottom.IsFilter)
            {
                throw new QmpException($"Bottom node '{name}' is a filter");
            }
        }

        return new CopyOnReadNode(settings, bottom);
    }
}
