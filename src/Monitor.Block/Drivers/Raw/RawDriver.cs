using Monitor.Qapi;

namespace Monitor.Block.Drivers.Raw;

/// <summary>Makes <see cref="RawNode"/>s.</summary>
internal sealed class RawDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
        [new("file", RawNode.ChildRole(options.Raw.Offset ?? 0, options.Raw.Size), options.Raw.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) =>
        new RawNode(settings, NotNegative(options.Raw.Offset, "offset"), NotNegative(options.Raw.Size, "size"));

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
        NotNegative(after.Raw.Offset, "offset");
        NotNegative(after.Raw.Size, "size");
    }

    private static long? NotNegative(long? bytes, string name) =>
        bytes is null or >= 0 ? bytes : throw new QmpException($"Parameter '{name}' expects a non-negative number below 2^64");
}
