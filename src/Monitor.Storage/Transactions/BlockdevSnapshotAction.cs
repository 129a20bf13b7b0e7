using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>blockdev-snapshot</c>: the overlay is a node that exists.</summary>
internal sealed class BlockdevSnapshotAction(JobManager jobs, BlockdevSnapshot arguments) : SnapshotAction(jobs)
{
    public override string ActionName => "blockdev-snapshot";

    public override IEnumerable<BlockNode> DrainedNodes
    {
        get
        {
            foreach (string name in (string[])[arguments.Node, arguments.Overlay])
            {
                if (Graph.TryLookup(name, name) is { } node)
                {
                    yield return node;
                }
            }
        }
    }

    protected override BlockNode FindNode() => Graph.GetDeviceOrNode(arguments.Node);

    protected override BlockNode FindOverlay() => Graph.GetDeviceOrNode(arguments.Overlay);
}
