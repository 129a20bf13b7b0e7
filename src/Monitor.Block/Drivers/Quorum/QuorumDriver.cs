using Monitor.Qapi;

namespace Monitor.Block.Drivers.Quorum;

/// <summary>Makes <see cref="QuorumNode"/>s and checks that their votes make sense.</summary>
internal sealed class QuorumDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) =>
        [.. options.Quorum.Children.Select((child, i) => new BlockChildSpec(QuorumNode.ChildName(i), BlockChildRole.Data, child))];

    public bool SupportsReopen => false;

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        Check(options.Quorum);
        return new QuorumNode(settings, options.Quorum, graph.Events);
    }

    private static void Check(BlockdevOptionsQuorum quorum)
    {
        if (quorum.Children.Count == 0)
        {
            throw new QmpException("Number of provided children must be 1 or more");
        }

        if (quorum.VoteThreshold < 1)
        {
            throw new QmpException("Parameter 'vote-threshold' expects a value >= 1");
        }

        if (quorum.VoteThreshold > quorum.Children.Count)
        {
            throw new QmpException("threshold may not exceed children count");
        }

        bool readsAll = quorum.ReadPattern != QuorumReadPattern.Fifo;
        if (readsAll && quorum.Blkverify == true && (quorum.Children.Count != 2 || quorum.VoteThreshold != 2))
        {
            throw new QmpException("blkverify=on can only be set if there are exactly two files and vote-threshold is 2");
        }

        if (readsAll && quorum is { Blkverify: true, RewriteCorrupted: true })
        {
            throw new QmpException("rewrite-corrupted=on cannot be used with blkverify=on");
        }
    }
}
