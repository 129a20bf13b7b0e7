using Monitor.Block.Io;

namespace Monitor.Block.Drivers;

/// <summary>Reads from below an image and leaves what was read in it, so that the next read finds it there.</summary>
/// <remarks>
/// Whole clusters are read and written with <see cref="BlockWriteFlags.CopyUp"/>: the image takes them only if it still holds nothing there,
/// so a guest's write that comes between is never undone.
/// </remarks>
internal static class CopyUp
{
    /// <summary>Most bytes copied up at once.</summary>
    public const int PieceBytes = 1 << 20;

    /// <summary>Reads whole clusters, has them kept, and gives the part that was asked for.</summary>
    /// <param name="keeper">Takes the clusters; it has the size and the clusters of the image.</param>
    /// <param name="read">Reads them.</param>
    /// <param name="offset">Where the part begins.</param>
    /// <param name="part">Filled wholly; not longer than <see cref="PieceBytes"/>.</param>
    /// <exception cref="BlockIoException">They cannot be read or kept.</exception>
    public static async ValueTask ReadAsync(BlockNode keeper, Func<long, Memory<byte>, ValueTask> read, long offset, Memory<byte> part)
    {
        long cluster = Math.Max(1, keeper.ClusterSizeBytes);
        long start = offset / cluster * cluster;
        long end = Math.Min((offset + part.Length + cluster - 1) / cluster * cluster, keeper.SizeBytes);
        IoBuffer buffer = IoBufferPool.Rent((int)(end - start));
        try
        {
            Memory<byte> whole = buffer.Memory[..(int)(end - start)];
            await read(start, whole).ConfigureAwait(false);
            await KeepAsync(keeper, start, whole).ConfigureAwait(false);
            whole.Slice((int)(offset - start), part.Length).CopyTo(part);
        }
        finally
        {
            buffer.Return();
        }
    }

    private static ValueTask KeepAsync(BlockNode keeper, long offset, ReadOnlyMemory<byte> clusters)
    {
        const BlockWriteFlags Flags = BlockWriteFlags.Unchanged | BlockWriteFlags.CopyUp;
        return clusters.Span.IndexOfAnyExcept((byte)0) < 0
            ? keeper.WriteZeroesAsync(offset, clusters.Length, Flags)
            : keeper.WriteAsync(offset, clusters, Flags);
    }
}
