using System.Buffers;
using System.Runtime.CompilerServices;
using Monitor.Block;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary><c>base:allocation</c> (data, holes, zeroes) or <c>qemu:allocation-depth</c> (in which image of the chain).</summary>
internal sealed class NbdAllocationContext(uint id, string name, BlockBackend backend) : NbdContext(id, name)
{
    /// <summary>Runs asked for at once (24 KiB of memory).</summary>
    private const int RunsAtOnce = 1024;

    private readonly bool _isDepth = name == NbdMetaContextName.QemuAllocationDepth;

    /// <inheritdoc/>
    public override async ValueTask DescribeAsync(long offset, long length, NbdExtentList extents)
    {
        BlockStatus[] runs = ArrayPool<BlockStatus>.Shared.Rent(RunsAtOnce);
        try
        {
            Memory<BlockStatus> room = runs.AsMemory(0, Math.Min(RunsAtOnce, extents.Limit));
            for (long end = offset + length; offset < end;)
            {
                int count = await backend.MapAsync(offset, end - offset, room).ConfigureAwait(false);
                if (!TryAdd(extents, runs.AsSpan(0, count), ref offset))
                {
                    return;
                }
            }
        }
        finally
        {
            ArrayPool<BlockStatus>.Shared.Return(runs);
        }
    }

    private bool TryAdd(NbdExtentList extents, ReadOnlySpan<BlockStatus> runs, ref long offset)
    {
        Span<NbdExtent> told = stackalloc NbdExtent[RunsAtOnce];
        told = told[..runs.Length];
        for (int i = 0; i < told.Length; i++)
        {
            ref readonly BlockStatus run = ref runs[i];
            told[i] = new NbdExtent((uint)run.Length, _isDepth ? DepthOf(run) : AllocationOf(run));
            offset += run.Length;
        }

        return extents.TryAdd(told);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint DepthOf(in BlockStatus run) => run.IsAllocated ? (uint)run.Depth + 1 : 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint AllocationOf(in BlockStatus run) => (uint)(
        (run.IsData ? NbdAllocationFlags.None : NbdAllocationFlags.Hole) | (run.IsZero ? NbdAllocationFlags.Zero : NbdAllocationFlags.None));
}
