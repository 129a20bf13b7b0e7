using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="SnapshotAccessNode"/>s.</summary>
internal sealed class SnapshotAccessDriver : IBlockDriver
{
    public bool SupportsReopen => false;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
        [new("file", BlockChildRole.Data | BlockChildRole.Primary, options.SnapshotAccess.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) => new SnapshotAccessNode(settings);
}
