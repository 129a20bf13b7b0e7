using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Io;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Transactions;

/// <summary><c>blockdev-snapshot-internal-sync</c>: a snapshot inside an image, written behind closed doors and deleted again if the transaction fails.</summary>
internal sealed class BlockdevSnapshotInternalSyncAction(JobManager jobs, BlockdevSnapshotInternal arguments) : TransactionStep
{
    private QmpException? _refusal;
    private Qcow2Node? _image;
    private SnapshotInfo? _taken;

    public override string ActionName => "blockdev-snapshot-internal-sync";

    public override bool NeedsInstant => true;

    public override IEnumerable<BlockNode> DrainedNodes => jobs.Graph.TryLookup(arguments.Device, arguments.Device) is { } node ? [node] : [];

    public override async ValueTask CaptureAsync()
    {
        try
        {
            Qcow2Node image = CheckNode();
            _taken = await BlockThreads.RunAsync(() => image.CreateSnapshotAsync(arguments.Name, TimeProvider.System.GetUtcNow()));
            _image = image;
        }
        catch (QmpException e)
        {
            _refusal = e;
        }
        catch (BlockIoException e)
        {
            _refusal = new QmpException($"Failed to create snapshot '{arguments.Name}' on device '{arguments.Device}': {Errno.Describe(e.Errno)}");
        }
    }

    public override async ValueTask UndoCaptureAsync()
    {
        if (_taken is not { } snapshot)
        {
            return;
        }

        try
        {
            await BlockThreads.RunAsync(() => _image!.DeleteSnapshotAsync(snapshot.Id, snapshot.Name));
        }
        catch (BlockIoException e)
        {
            DaemonLog.Warn("Storage", $"snapshot '{snapshot.Name}' of a transaction that failed stays in '{arguments.Device}': {e.Message}");
        }
    }

    public override void Prepare()
    {
        if (_refusal is not null)
        {
            throw _refusal;
        }
    }

    private Qcow2Node CheckNode()
    {
        BlockNode node = InternalSnapshots.GetNode(jobs, arguments.Device);
        if (node.IsReadOnly)
        {
            throw new QmpException($"Device '{arguments.Device}' is read only");
        }

        Qcow2Node image = InternalSnapshots.Find(node)
            ?? throw new QmpException($"Block format '{node.DriverName}' used by device '{arguments.Device}' does not support internal snapshots");
        if (arguments.Name.Length == 0)
        {
            throw new QmpException("Name is empty");
        }

        return InternalSnapshots.Find(image, id: null, arguments.Name) is null
            ? image
            : throw new QmpException($"Snapshot with name '{arguments.Name}' already exists on device '{arguments.Device}'");
    }
}
