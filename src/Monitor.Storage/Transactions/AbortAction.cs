using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>abort</c>: always fails, to show that the others are undone.</summary>
internal sealed class AbortAction : TransactionStep
{
    public override string ActionName => "abort";

    public override bool SupportsGrouping => true;

    public override void Prepare() => throw new QmpException("Transaction aborted using Abort action");
}
