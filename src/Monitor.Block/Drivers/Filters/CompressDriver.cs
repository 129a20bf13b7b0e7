using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="CompressNode"/>s.</summary>
internal sealed class CompressDriver : IBlockDriver
{
    public bool SupportsReopen => false;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", FilterNode.ChildRole, options.Compress.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) => new CompressNode(settings);
}
