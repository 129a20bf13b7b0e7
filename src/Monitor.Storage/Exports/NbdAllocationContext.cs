using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary><c>base:allocation</c> (data, holes, zeroes) or <c>qemu:allocation-depth</c> (in which image of the chain).</summary>
internal sealed class NbdAllocationContext(uint id, string name, BlockBackend backend) : NbdContext(id, name)
{
    private readonly bool _isDepth = name == NbdMetaContextName.QemuAllocationDepth;

    /// <inheritdoc/>
    public override async ValueTask DescribeAsync(long offset, long length, NbdExtentList extents)
    {
        long end = offset + length;
        while (offset < end)
        {
            BlockStatus run = await backend.MapAsync(offset, end - offset).ConfigureAwait(false);
            if (!extents.TryAdd(run.Length, _isDepth ? DepthOf(run) : AllocationOf(run)))
            {
                return;
            }

            offset += run.Length;
        }
    }

    private static uint DepthOf(in BlockStatus run) => run.IsAllocated ? (uint)run.Depth + 1 : 0;

    private static uint AllocationOf(in BlockStatus run) => (uint)(
        (run.IsData ? NbdAllocationFlags.None : NbdAllocationFlags.Hole) | (run.IsZero ? NbdAllocationFlags.Zero : NbdAllocationFlags.None));
}
