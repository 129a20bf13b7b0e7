using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Compressed clusters, read and written.</summary>
/// <remarks>
/// A cluster is compressed on any core and without a lock, then gets as many bytes as it came to, right behind the one before it; so
/// several share a host cluster, or one lies across two. One that does not become smaller is written plainly.
/// </remarks>
public sealed partial class Qcow2Node
{
    /// <inheritdoc/>
    public override bool SupportsCompression => true;

    /// <inheritdoc/>
    protected override async ValueTask WriteCompressedAsync(long offset, ReadOnlyMemory<byte> buffer)
    {
        if (Layout.HasDataFile)
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        long inLast = (offset + buffer.Length) & (ClusterSizeBytes - 1);
        if ((offset & (ClusterSizeBytes - 1)) != 0 || (inLast != 0 && offset + buffer.Length != SizeBytes))
        {
            throw new BlockIoException(Errno.EINVAL);
        }

        if (buffer.Length <= ClusterSizeBytes)
        {
            await WriteCompressedClusterAsync(offset, buffer).ConfigureAwait(false);
            return;
        }

        int next = -1;
        var workers = new Task[Math.Min(Environment.ProcessorCount, (buffer.Length - 1 >> _clusterBits) + 1)];
        for (int i = 0; i < workers.Length; i++)
        {
            workers[i] = Task.Run(WriteSomeAsync);
        }

        await Task.WhenAll(workers).ConfigureAwait(false);

        async Task WriteSomeAsync()
        {
            for (int at; (at = Interlocked.Increment(ref next) << _clusterBits) < buffer.Length;)
            {
                ReadOnlyMemory<byte> cluster = buffer.Slice(at, Math.Min(ClusterSizeBytes, buffer.Length - at));
                await WriteCompressedClusterAsync(offset + at, cluster).ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask ReadCompressedAsync(HostOffset descriptor, long offset, Memory<byte> buffer)
    {
        (long start, int length) = new L2Entry((ulong)descriptor.Bytes).CompressedRange(_clusterBits);
        IoBuffer compressed = IoBufferPool.Rent(length);
        IoBuffer cluster = IoBufferPool.Rent(ClusterSizeBytes);
        try
        {
            await _image.File.ReadAsync(start, compressed.Memory[..length], BlkdebugEvent.ReadCompressed).ConfigureAwait(false);
            Decompress(compressed, length, cluster);
            cluster.Memory.Slice((int)(offset & (ClusterSizeBytes - 1)), buffer.Length).CopyTo(buffer);
        }
        finally
        {
            compressed.Return();
            cluster.Return();
        }
    }

    private async ValueTask WriteCompressedClusterAsync(long offset, ReadOnlyMemory<byte> data)
    {
        if (data.IsEmpty)
        {
            return;
        }

        IoBuffer plain = IoBufferPool.Rent(ClusterSizeBytes);
        IoBuffer packed = IoBufferPool.Rent(ClusterSizeBytes);
        try
        {
            data.CopyTo(plain.Memory);
            plain.Memory.Span[data.Length..ClusterSizeBytes].Clear();
            int length = await Task.Run(() => Compress(plain, packed)).ConfigureAwait(false);
            if (length > 0)
            {
                await WritePackedAsync(offset, packed.Memory[..length]).ConfigureAwait(false);
            }
            else
            {
                await DoWriteAsync(offset, data, BlockWriteFlags.None).ConfigureAwait(false);
            }
        }
        finally
        {
            plain.Return();
            packed.Return();
        }
    }

    private async ValueTask WritePackedAsync(long offset, ReadOnlyMemory<byte> packed)
    {
        (GuestClusterClaim claim, long place) = await AllocatePackedAsync(offset, packed.Length).ConfigureAwait(false);
        bool written = false;
        try
        {
            await _image.File.WriteAsync(place, packed, BlkdebugEvent.WriteCompressed).ConfigureAwait(false);
            written = true;
        }
        finally
        {
            await EndPackedAsync(claim, L2Entry.Compressed(place, packed.Length, _clusterBits), written).ConfigureAwait(false);
        }
    }

    private async ValueTask<(GuestClusterClaim Claim, long Place)> AllocatePackedAsync(long offset, int length)
    {
        await EnterForAsync(offset >> _clusterBits).ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.ReclaimAsync().ConfigureAwait(false);
            MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
            _ = _image.Map.Find(offset, out int entry);
            if (Layout.Read(slice, entry).Kind is not (L2EntryKind.Unallocated or L2EntryKind.ZeroPlain))
            {
                throw new BlockIoException(Errno.EIO);
            }

            long place = await _image.Refcounts.AllocateBytesAsync(length).ConfigureAwait(false);
            _image.File.Tell(BlkdebugEvent.L2UpdateCompressed);
            return (Claim(offset >> _clusterBits, 1, slice, entry), place);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Makes the entry point at its data; or gives the room back, for the data could not be written.</summary>
    private async ValueTask EndPackedAsync(GuestClusterClaim claim, L2Entry compressed, bool written)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            if (written)
            {
                Layout.Write(claim.Slice, claim.Entry, compressed);
                _image.Map.MarkDirty(claim.Slice);
            }
            else
            {
                await _image.Refcounts.DecreaseAsync(compressed.CompressedClusters(_clusterBits)).ConfigureAwait(false);
            }
        }
        finally
        {
            End(claim);
            _image.Lock.Release();
        }
    }

    private int Compress(IoBuffer plain, IoBuffer packed) =>
        ClusterCompressor.Compress(Header.CompressionType, plain.GetSpan()[..ClusterSizeBytes], packed.GetSpan()[..(ClusterSizeBytes - 1)]);

    private unsafe void Decompress(IoBuffer compressed, int length, IoBuffer cluster) =>
        CompressedCluster.Decompress(Header.CompressionType, compressed.Pointer, length, cluster.GetSpan()[..ClusterSizeBytes]);
}
