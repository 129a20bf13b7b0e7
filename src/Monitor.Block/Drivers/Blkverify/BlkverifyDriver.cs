using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkverify;

/// <summary>Makes <see cref="BlkverifyNode"/>s.</summary>
internal sealed class BlkverifyDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
    [
        new("raw", BlockChildRole.Filtered | BlockChildRole.Primary, options.Blkverify.Raw),
        new(BlkverifyNode.TestName, BlockChildRole.Data, options.Blkverify.Test),
    ];

    public bool SupportsReopen => false;

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) => new BlkverifyNode(settings);
}
