using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Stores what is written compressed (driver <c>compress</c>).</summary>
/// <remarks>
/// Only whole clusters can be compressed, and only where nothing is stored yet. Everything else is written plainly, which costs space
/// and never the data: parts of clusters, and clusters that are written again.
/// </remarks>
/// <param name="settings">The options every node has.</param>
public sealed class CompressNode(BlockNodeSettings settings) : FilterNode(settings)
{
    /// <inheritdoc/>
    public override string DriverName => "compress";

    /// <inheritdoc/>
    public override string FileName => JsonFileName;

    /// <inheritdoc/>
    public override ValueTask OpenAsync() => Below.SupportsCompression
        ? base.OpenAsync()
        : throw new QmpException($"Compression is not supported for underlying format: {Below.DriverName}");

    /// <inheritdoc/>
    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        while (!buffer.IsEmpty)
        {
            (bool isCompressible, long length) = await LookAsync(offset, buffer.Length).ConfigureAwait(false);
            ReadOnlyMemory<byte> part = buffer[..(int)length];
            if (!isCompressible || !await TryCompressAsync(offset, part, flags).ConfigureAwait(false))
            {
                await base.DoWriteAsync(offset, part, flags).ConfigureAwait(false);
            }

            offset += length;
            buffer = buffer[(int)length..];
        }
    }

    /// <summary>Whether the start of a range is whole clusters that hold nothing, and for how many bytes that holds.</summary>
    private async ValueTask<(bool IsCompressible, long Length)> LookAsync(long offset, long length)
    {
        int cluster = ClusterSizeBytes;
        long inCluster = offset % cluster;
        if (inCluster != 0)
        {
            return (false, Math.Min(length, cluster - inCluster));
        }

        long whole = offset + length >= SizeBytes ? length : length / cluster * cluster;
        if (whole == 0)
        {
            return (false, length);
        }

        BlockMapping run = await Below.MapAsync(offset, whole).ConfigureAwait(false);
        return (run.Kind == BlockMappingKind.Backing, run.Length);
    }

    private async ValueTask<bool> TryCompressAsync(long offset, ReadOnlyMemory<byte> part, BlockWriteFlags flags)
    {
        try
        {
            await Below.WriteAsync(offset, part, flags | BlockWriteFlags.Compressed).ConfigureAwait(false);
            return true;
        }
        catch (BlockIoException e) when (e.Errno == Errno.EIO)
        {
            // Another write was there first; if it is the medium that failed, the plain write says so.
            return false;
        }
    }
}
