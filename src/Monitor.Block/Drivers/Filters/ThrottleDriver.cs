using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="ThrottleNode"/>s.</summary>
internal sealed class ThrottleDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", FilterNode.ChildRole, options.Throttle.File)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) =>
        new ThrottleNode(settings, options.Throttle.ThrottleGroup, graph.ThrottleGroups);
}
