using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Makes <see cref="Qcow2Node"/>s.</summary>
internal sealed class Qcow2Driver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", BlockChildRole.Image, options.Qcow2.File)];

    public BlockdevRefOrNull? Backing(BlockdevOptions options) => options.Qcow2.Backing;

    public BlockdevRef? DataFile(BlockdevOptions options) => options.Qcow2.DataFile;

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph) =>
        new Qcow2Node(settings, options.Qcow2, graph.Events);
}
