using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Transactions;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>transaction</c>, and every command that is a transaction of one.</summary>
/// <param name="jobs">All jobs; knows the graph.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class TransactionCommands(JobManager jobs, DaemonLifetime lifetime) : ITransactionCommands
{
    private BlockGraph Graph => jobs.Graph;

    /// <inheritdoc/>
    public ValueTask TransactionAsync(TransactionArguments arguments)
    {
        lifetime.CheckRunning();
        JobTransaction? group = arguments.Properties?.CompletionMode == ActionCompletionMode.Grouped ? new JobTransaction() : null;
        var steps = new List<TransactionStep>(arguments.Actions.Count);
        foreach (TransactionAction action in arguments.Actions)
        {
            steps.Add(MakeStep(action, group));
        }

        return Transaction.RunAsync(Graph, steps, grouped: group is not null);
    }

    /// <inheritdoc/>
    public ValueTask RunActionAsync(TransactionAction action)
    {
        lifetime.CheckRunning();
        return Transaction.RunAsync(Graph, [MakeStep(action, null)]);
    }

    private TransactionStep MakeStep(TransactionAction action, JobTransaction? group) => action.Type switch
    {
        TransactionActionKind.Abort => new AbortAction(),
        TransactionActionKind.BlockDirtyBitmapAdd => new BlockDirtyBitmapAddAction(Graph, action.BlockDirtyBitmapAdd.Data),
        TransactionActionKind.BlockDirtyBitmapRemove => new BlockDirtyBitmapRemoveAction(Graph, action.BlockDirtyBitmapRemove.Data),
        TransactionActionKind.BlockDirtyBitmapClear => new BlockDirtyBitmapClearAction(Graph, action.BlockDirtyBitmapClear.Data),
        TransactionActionKind.BlockDirtyBitmapFill => new BlockDirtyBitmapFillAction(Graph, action.BlockDirtyBitmapFill.Data),
        TransactionActionKind.BlockDirtyBitmapEnable => new BitmapRecordingAction(Graph, action.BlockDirtyBitmapEnable.Data, records: true),
        TransactionActionKind.BlockDirtyBitmapDisable => new BitmapRecordingAction(Graph, action.BlockDirtyBitmapDisable.Data, records: false),
        TransactionActionKind.BlockDirtyBitmapMerge => new BlockDirtyBitmapMergeAction(Graph, action.BlockDirtyBitmapMerge.Data),
        TransactionActionKind.BlockDirtyBitmapPopulate =>
            new BlockDirtyBitmapPopulateAction(jobs, action.BlockDirtyBitmapPopulate.Data, group),
        TransactionActionKind.BlockdevBackup => new BlockdevBackupAction(jobs, action.BlockdevBackup.Data, group),
        TransactionActionKind.BlockdevSnapshot => new BlockdevSnapshotAction(jobs, action.BlockdevSnapshot.Data),
        TransactionActionKind.BlockdevSnapshotInternalSync => new BlockdevSnapshotInternalSyncAction(jobs, action.BlockdevSnapshotInternalSync.Data),
        TransactionActionKind.BlockdevSnapshotSync => new BlockdevSnapshotSyncAction(jobs, action.BlockdevSnapshotSync.Data),
        TransactionActionKind.DriveBackup => new DriveBackupAction(jobs, action.DriveBackup.Data, group),
        _ => throw new InvalidOperationException($"the schema has an action without a step: {action.Type.ToWire()}"),
    };
}
