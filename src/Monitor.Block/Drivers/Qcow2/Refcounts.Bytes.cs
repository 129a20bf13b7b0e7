using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Room for compressed clusters, byte by byte.</summary>
/// <remarks>
/// A host cluster has one reference for each compressed cluster that touches it. Example: 40,000 bytes, then 40,000 more, with clusters
/// of 64 KiB: the second lies across host clusters 0 and 1, whose refcounts are 2 and 1. Where the widths allow no further reference the
/// rest of a cluster stays unused.
/// </remarks>
internal sealed partial class Refcounts
{
    /// <summary>The byte behind the last compressed cluster, or 0 if that ends a host cluster or is not known.</summary>
    private long _nextFreeByte;

    /// <summary>Takes some bytes, behind those taken last if they fit there.</summary>
    /// <param name="bytes">At least 1, less than a cluster.</param>
    /// <returns>The first one's host position.</returns>
    /// <exception cref="BlockIoException">No room, the medium failed, or the refcounts are damaged.</exception>
    public async ValueTask<long> AllocateBytesAsync(int bytes)
    {
        _file.Tell(BlkdebugEvent.ClusterAllocBytes);
        long start = _nextFreeByte;
        long shared = start >> _clusterBits;
        if (start != 0 && await ReadAsync(shared).ConfigureAwait(false) == _width.Maximum)
        {
            start = 0;
        }

        int left = start == 0 ? 0 : ClusterBytes - (int)(start & (ClusterBytes - 1));
        if (left < bytes)
        {
            ClusterRun run = await AllocateAsync(1).ConfigureAwait(false);
            if (left == 0 || run.First != shared + 1)
            {
                (start, left) = (run.First << _clusterBits, 0);
            }
        }

        if (left > 0)
        {
            await IncreaseAsync(shared).ConfigureAwait(false);
        }

        long end = start + bytes;
        _nextFreeByte = (end & (ClusterBytes - 1)) == 0 ? 0 : end;
        return start;
    }

    /// <summary>Gives a cluster in use one reference more; there is room for it.</summary>
    private async ValueTask IncreaseAsync(long cluster)
    {
        MetadataBlock block = (await FindBlockAsync(cluster >> _blockBits).ConfigureAwait(false))!;
        int index = (int)(cluster & (EntriesPerBlock - 1));
        _width.Write(block.Bytes, index, _width.Read(block.Bytes, index) + 1);
        _blocks.MarkDirty(block);
    }

    /// <summary>Takes note that nothing is left in a cluster: it may become anything.</summary>
    private void ForgetFreeBytes(long cluster)
    {
        if (_nextFreeByte >> _clusterBits == cluster)
        {
            _nextFreeByte = 0;
        }
    }
}
