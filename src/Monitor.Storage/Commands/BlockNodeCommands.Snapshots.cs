using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Io;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Commands;

/// <summary>Snapshots inside images; taking one is an action of transactions.</summary>
public sealed partial class BlockNodeCommands
{
    /// <inheritdoc/>
    public async ValueTask<SnapshotInfo> BlockdevSnapshotDeleteInternalSyncAsync(BlockdevSnapshotDeleteInternalSyncArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode node = InternalSnapshots.GetNode(jobs, arguments.Device);
        if (arguments.Id is null && arguments.Name is null)
        {
            throw new QmpException("Name or id must be provided");
        }

        Qcow2Node image = InternalSnapshots.Find(node) ?? throw new QmpException("Failed to get a snapshot list: Operation not supported");
        SnapshotInfo snapshot = InternalSnapshots.Find(image, arguments.Id, arguments.Name)
            ?? throw new QmpException(
                $"Snapshot with id '{arguments.Id ?? "null"}' and name '{arguments.Name ?? "null"}' does not exist on device '{arguments.Device}'");
        using DrainedSection section = await Graph.DrainAsync(node);
        try
        {
            if (image.IsReadOnly)
            {
                throw new BlockIoException(Errno.EPERM);
            }

            await BlockThreads.RunAsync(() => image.DeleteSnapshotAsync(snapshot.Id, snapshot.Name));
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Failed to remove snapshot from snapshot list: {Errno.Describe(e.Errno)}");
        }

        return snapshot;
    }
}
