using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Deals with damage found at run time: tells the clients, marks a writable image corrupt, and ends its use.</summary>
/// <param name="node">The image's node.</param>
/// <param name="header">Its first cluster.</param>
/// <param name="file">Its file.</param>
/// <param name="events">Where the event goes.</param>
internal sealed class CorruptionReporter(BlockNode node, Qcow2HeaderCluster header, ImageFile file, IEventSink events)
{
    private bool _reported;
    private volatile bool _fatal;

    /// <summary>Whether the image was marked corrupt, so that nothing of it may be used any more.</summary>
    public bool IsFatal => _fatal;

    /// <summary>Takes note that the image was repaired.</summary>
    public void Forget() => (_reported, _fatal) = (false, false);

    /// <summary>Reports damage. Under the allocation lock.</summary>
    /// <param name="offset">Host position of the damage, or of what it points at.</param>
    /// <param name="size">Bytes affected, or null.</param>
    /// <param name="message">What is wrong.</param>
    /// <returns>What the request that met it fails with.</returns>
    public async ValueTask<BlockIoException> ReportAsync(long? offset, long? size, string message)
    {
        bool fatal = !node.IsReadOnly;
        if (!_fatal && (fatal || !_reported))
        {
            _reported = true;
            _fatal = fatal;
            DaemonLog.Error("Block", fatal
                ? $"node {node.NodeName}: qcow2: Marking image as corrupt: {message}; further corruption events will be suppressed"
                : $"node {node.NodeName}: qcow2: Image is corrupt: {message}; further non-fatal corruption events will be suppressed");
            events.BlockImageCorrupted(BlockGraph.DriveNameOf(node), message, fatal, node.NodeName, offset, size);
            if (fatal)
            {
                await MarkAsync().ConfigureAwait(false);
            }
        }

        return new BlockIoException(Errno.EIO, message);
    }

    /// <summary>Reports an L1 entry that leads to no table. Under the allocation lock.</summary>
    public ValueTask<BlockIoException> ReportL2TableAsync(long offset, int clusterBytes, long index) =>
        ReportAsync(null, null, $"L2 table offset {DescribePlace(offset, clusterBytes)} (L1 index: {Qcow2Format.Hex(index)})");

    /// <summary>Reports a refcount table entry that leads to no block. Under the allocation lock.</summary>
    public ValueTask<BlockIoException> ReportRefcountBlockAsync(long offset, int clusterBytes, long index) =>
        ReportAsync(null, null, $"Refblock offset {DescribePlace(offset, clusterBytes)} (reftable index: {Qcow2Format.Hex(index)})");

    private static string DescribePlace(long offset, int clusterBytes) =>
        $"{Qcow2Format.Hex(offset)} {((offset & (clusterBytes - 1)) != 0 ? "unaligned" : "invalid")}";

    private async ValueTask MarkAsync()
    {
        if (header.Header.Version < 3)
        {
            return;
        }

        try
        {
            header.Header.Incompatible |= Qcow2IncompatibleFeatures.Corrupt;
            await header.WriteAsync(file).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            DaemonLog.Error("Block", $"node {node.NodeName}: the image could not be marked corrupt: {e.Message}");
        }
    }
}
