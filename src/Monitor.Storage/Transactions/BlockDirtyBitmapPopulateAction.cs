using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>block-dirty-bitmap-populate</c>: a job that marks what is allocated in a node's own layer.</summary>
/// <param name="jobs">All jobs.</param>
/// <param name="arguments">What the client asked for.</param>
/// <param name="group">The jobs that complete or fail with it; null for none.</param>
internal sealed class BlockDirtyBitmapPopulateAction(JobManager jobs, BlockDirtyBitmapPopulate arguments, JobTransaction? group) : TransactionStep
{
    private BitmapPopulateJob? _job;
    private Task? _abandoned;

    public override string ActionName => "block-dirty-bitmap-populate";

    public override bool SupportsGrouping => true;

    public override bool HoldsGraph => true;

    public override IEnumerable<BlockNode> DrainedNodes => jobs.Graph.TryLookup(arguments.Node, arguments.Node) is { } node ? [node] : [];

    public override void Prepare()
    {
        var (node, bitmap) = BitmapLookup.Find(jobs.Graph, arguments.Node, arguments.Name);
        _job = BitmapPopulateJob.Prepare(jobs, new BitmapPopulateOptions
        {
            JobId = arguments.JobId,
            Node = node,
            Bitmap = bitmap,
            OnSourceError = arguments.OnError ?? BlockdevOnError.Report,
            AutoFinalize = arguments.AutoFinalize ?? true,
            AutoDismiss = arguments.AutoDismiss ?? true,
            Transaction = group,
        });
    }

    public override void Proceed() => _job!.Start();

    public override void Abort() => _abandoned = _job!.AbandonAsync();

    /// <summary>Waits for what an abandoned job still lets go of.</summary>
    public override async ValueTask UndoOpenAsync()
    {
        if (_abandoned is not null)
        {
            await _abandoned;
        }
    }
}
