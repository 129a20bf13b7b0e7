using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Transactions;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>transaction</c>, and every command that is a transaction of one.</summary>
/// <param name="graph">The nodes.</param>
public sealed class TransactionCommands(BlockGraph graph) : ITransactionCommands
{
    /// <inheritdoc/>
    public ValueTask TransactionAsync(TransactionArguments arguments)
    {
        bool grouped = arguments.Properties?.CompletionMode == ActionCompletionMode.Grouped;
        var steps = new List<TransactionStep>(arguments.Actions.Count);
        foreach (TransactionAction action in arguments.Actions)
        {
            steps.Add(MakeStep(action));
        }

        return Transaction.RunAsync(graph, steps, grouped);
    }

    /// <inheritdoc/>
    public ValueTask RunActionAsync(TransactionAction action) => Transaction.RunAsync(graph, [MakeStep(action)]);

    private TransactionStep MakeStep(TransactionAction action) => action.Type switch
    {
        TransactionActionKind.Abort => new AbortAction(),
        TransactionActionKind.BlockDirtyBitmapAdd => new BlockDirtyBitmapAddAction(graph, action.BlockDirtyBitmapAdd.Data),
        TransactionActionKind.BlockDirtyBitmapRemove => new BlockDirtyBitmapRemoveAction(graph, action.BlockDirtyBitmapRemove.Data),
        TransactionActionKind.BlockDirtyBitmapClear => new BlockDirtyBitmapClearAction(graph, action.BlockDirtyBitmapClear.Data),
        TransactionActionKind.BlockDirtyBitmapEnable => new BlockDirtyBitmapEnableAction(graph, action.BlockDirtyBitmapEnable.Data),
        TransactionActionKind.BlockDirtyBitmapDisable => new BlockDirtyBitmapDisableAction(graph, action.BlockDirtyBitmapDisable.Data),
        TransactionActionKind.BlockDirtyBitmapMerge => new BlockDirtyBitmapMergeAction(graph, action.BlockDirtyBitmapMerge.Data),
        _ => throw new InvalidOperationException($"the schema has an action without a step: {action.Type.ToWire()}"),
    };
}
