using Monitor.Qapi;

namespace Monitor.Block.Drivers.Null;

/// <summary>Makes <see cref="NullNode"/>s.</summary>
internal sealed class NullDriver : IBlockDriver
{
    private const ulong LargestLatency = long.MaxValue;

    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [];

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
        (var old, var asked) = ((BlockdevOptionsNull)before.Branch!, (BlockdevOptionsNull)after.Branch!);
        FixedOption.Check("size", old.Size, asked.Size);
        FixedOption.Check("latency-ns", old.LatencyNs, asked.LatencyNs);
        FixedOption.Check("read-zeroes", old.ReadZeroes, asked.ReadZeroes);
    }

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        var o = (BlockdevOptionsNull)options.Branch!;
        if (o.Size < 0)
        {
            throw new QmpException("Parameter 'size' expects a non-negative number below 2^64");
        }

        if (o.Size > BlockNode.MaximumSizeBytes)
        {
            throw new QmpException("Could not refresh total sector count: File too large");
        }

        if (o.LatencyNs > LargestLatency)
        {
            throw new QmpException("latency-ns is invalid");
        }

        return new NullNode(
            settings, o.Size ?? NullNode.DefaultSizeBytes, (long)(o.LatencyNs ?? 0), o.ReadZeroes ?? false, options.Driver.ToWire())
        {
            Options = o,
        };
    }
}
