using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes <see cref="PreallocateNode"/>s.</summary>
internal sealed class PreallocateDriver : IBlockDriver
{
    private const int SectorBytes = 512;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [new("file", FilterNode.ChildRole, options.Preallocate.File)];

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after) => Check(after.Preallocate);

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        Check(options.Preallocate);
        return new PreallocateNode(settings, options.Preallocate);
    }

    private static void Check(BlockdevOptionsPreallocate options)
    {
        if (options.PreallocAlign < 0 || options.PreallocSize < 0)
        {
            string name = options.PreallocAlign < 0 ? "prealloc-align" : "prealloc-size";
            throw new QmpException($"Parameter '{name}' expects a non-negative number below 2^64");
        }

        if (options.PreallocAlign % SectorBytes is not (null or 0))
        {
            throw new QmpException($"prealloc-align parameter of preallocate filter is not aligned to {SectorBytes}");
        }
    }
}
