using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>Makes <see cref="BlkdebugNode"/>s and checks that their limits agree with each other.</summary>
internal sealed class BlkdebugDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
        [new("image", BlockChildRole.Filtered | BlockChildRole.Primary, options.Blkdebug.Image)];

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        BlockdevOptionsBlkdebug o = options.Blkdebug;
        long align = o.Align ?? 0;
        if (align < 0 || align >= int.MaxValue || (align & (align - 1)) != 0)
        {
            throw new QmpException($"Cannot meet constraints with align {align}");
        }

        CheckLimit("max-transfer", o.MaxTransfer, align);
        CheckLimit("opt-write-zero", o.OptWriteZero, align);
        CheckLimit("max-write-zero", o.MaxWriteZero, Math.Max(align, o.OptWriteZero ?? 0));
        CheckLimit("opt-discard", o.OptDiscard, align);
        CheckLimit("max-discard", o.MaxDiscard, Math.Max(align, o.OptDiscard ?? 0));
        return new BlkdebugNode(settings, o);
    }

    private static void CheckLimit(string name, int? limit, long unit)
    {
        if (limit < 0 || limit % Math.Max(unit, 1) is not (null or 0))
        {
            throw new QmpException($"Cannot meet constraints with {name} {limit}");
        }
    }
}
