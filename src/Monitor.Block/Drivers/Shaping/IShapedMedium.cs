using Monitor.Qapi;

namespace Monitor.Block.Drivers.Shaping;

/// <summary>A medium that is asked only within its <see cref="RequestLimits"/>.</summary>
internal interface IShapedMedium
{
    /// <summary>Reads whole blocks.</summary>
    ValueTask ReadBlocksAsync(long offset, Memory<byte> buffer);

    /// <summary>Writes whole blocks.</summary>
    ValueTask WriteBlocksAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags);

    /// <summary>Zeroes whole units; ENOTSUP where the medium cannot, then bytes are written unless the request forbids that.</summary>
    ValueTask ZeroBlocksAsync(long offset, long length, BlockWriteFlags flags);

    /// <summary>Discards whole units.</summary>
    ValueTask DiscardBlocksAsync(long offset, long length);

    /// <summary>Takes note of a point of the work on an unaligned write; waits there if it is told to.</summary>
    ValueTask ReachAsync(BlkdebugEvent evt) => default;
}
