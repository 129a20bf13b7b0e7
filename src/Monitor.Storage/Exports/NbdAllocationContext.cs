using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary><c>base:allocation</c> (data, holes, zeroes) or <c>qemu:allocation-depth</c> (in which image of the chain).</summary>
internal sealed class NbdAllocationContext(uint id, string name, BlockBackend backend) : NbdContext(id, name)
{
    /// <summary>Runs asked for at once (16 KiB of memory).</summary>
    private const int RunsAtOnce = 1024;

    private readonly bool _isDepth = name == NbdMetaContextName.QemuAllocationDepth;

    /// <inheritdoc/>
    public override async ValueTask DescribeAsync(long offset, long length, NbdExtentList extents)
    {
        var runs = new BlockStatus[Math.Min(RunsAtOnce, extents.Limit)];
        for (long end = offset + length; offset < end;)
        {
            int count = await backend.MapAsync(offset, end - offset, runs).ConfigureAwait(false);
            for (int i = 0; i < count; i++)
            {
                if (!extents.TryAdd(runs[i].Length, _isDepth ? DepthOf(runs[i]) : AllocationOf(runs[i])))
                {
                    return;
                }

                offset += runs[i].Length;
            }
        }
    }

    private static uint DepthOf(in BlockStatus run) => run.IsAllocated ? (uint)run.Depth + 1 : 0;

    private static uint AllocationOf(in BlockStatus run) => (uint)(
        (run.IsData ? NbdAllocationFlags.None : NbdAllocationFlags.Hole) | (run.IsZero ? NbdAllocationFlags.Zero : NbdAllocationFlags.None));
}
