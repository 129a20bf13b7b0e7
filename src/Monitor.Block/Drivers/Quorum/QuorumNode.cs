using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Quorum;

/// <summary>Several copies of the same disk (driver <c>quorum</c>): a write goes to all, a read asks all and takes what enough of them agree on.</summary>
/// <remarks>
/// Example: three copies, threshold 2. A read gives A, A, B: the answer is A, <c>QUORUM_REPORT_BAD</c> names the third copy, and with
/// <c>rewrite-corrupted</c> it gets A written. A, B, C: <c>QUORUM_FAILURE</c> and EIO. A copy that fails does not vote. With
/// <c>read-pattern: fifo</c> the first copy that can be read answers alone.
/// Cost: a request on every copy, and for reads a buffer for each of them.
/// </remarks>
public sealed class QuorumNode : BlockNode
{
    private const string ChildPrefix = "children.";
    private const int SectorBytes = 512;

    private readonly BlockdevOptionsQuorum _options;
    private readonly IEventSink _events;
    private readonly bool _isFifo;
    private readonly bool _verifies;
    private readonly bool _rewrites;
    private readonly int _threshold;
    private int _nextChild;

    /// <summary>Makes the node; its children (<see cref="ChildName"/>) are attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">How many must agree, and how they are read.</param>
    /// <param name="events">Where failed votes are announced.</param>
    public QuorumNode(BlockNodeSettings settings, BlockdevOptionsQuorum options, IEventSink events)
        : base(settings)
    {
        _options = options;
        _events = events;
        _threshold = (int)options.VoteThreshold;
        _isFifo = options.ReadPattern == QuorumReadPattern.Fifo;
        _verifies = !_isFifo && options.Blkverify == true;
        _rewrites = !_isFifo && options.RewriteCorrupted == true;
        _nextChild = options.Children.Count;
    }

    /// <inheritdoc/>
    public override string DriverName => "quorum";

    /// <inheritdoc/>
    public override string FileName => JsonFileName;

    /// <inheritdoc/>
    public override string OptionsJson
    {
        get
        {
            var text = new OptionsText("quorum");
            text.Add("vote-threshold", _options.VoteThreshold).Add("blkverify", _options.Blkverify).Add("rewrite-corrupted", _options.RewriteCorrupted);
            if (_options.ReadPattern is { } pattern)
            {
                text.AddText("read-pattern", pattern.ToWire());
            }

            return text.Add("children", $"[{string.Join(", ", Children.Select(child => child.Node.OptionsJson))}]").ToString();
        }
    }

    /// <inheritdoc/>
    public override int RequestAlignment => Children.Max(child => child.Node.RequestAlignment);

    /// <summary>The name of a child's edge.</summary>
    public static string ChildName(int number) => ChildPrefix + number;

    /// <summary>Adds a copy. A turn inside a drained section.</summary>
    /// <exception cref="QmpException">The node takes no more, or the graph forbids the edge; nothing was changed.</exception>
    public void AddChild(BlockGraph graph, BlockNode copy)
    {
        CheckMayGrow();
        graph.AttachChild(this, copy, ChildName(_nextChild), BlockChildRole.Data);
        _nextChild++;
    }

    /// <summary>Refuses another copy where exactly two are compared.</summary>
    /// <exception cref="QmpException">It takes no more.</exception>
    public void CheckMayGrow()
    {
        if (_verifies)
        {
            throw new QmpException("Cannot add a child to a quorum in blkverify mode");
        }
    }

    /// <summary>Refuses to lose a copy that the votes need.</summary>
    /// <exception cref="QmpException">There would be too few.</exception>
    public void CheckMayShrink()
    {
        if (Children.Count <= _threshold)
        {
            throw new QmpException($"The number of children cannot be lower than the vote threshold {_threshold}");
        }
    }

    /// <summary>Takes a copy away. A turn inside a drained section.</summary>
    /// <returns>Completes when a node that nobody else wanted has been closed.</returns>
    public ValueTask RemoveChildAsync(BlockGraph graph, BlockChild edge)
    {
        if (edge.Name == ChildName(_nextChild - 1))
        {
            _nextChild--;
        }

        return graph.DetachAsync(edge);
    }

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        long size = Children[0].Node.SizeBytes;
        if (Children.Any(child => child.Node.SizeBytes != size))
        {
            throw new QmpException($"Could not refresh total sector count: {Errno.Describe(Errno.EIO)}");
        }

        SetSize(size);
        return default;
    }

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(BlockChild child, BlockPermission used, BlockPermission shared)
    {
        // Nobody else may write or resize a copy: they would become different.
        BlockPermission childShared = shared & (BlockPermission.ConsistentRead | BlockPermission.WriteUnchanged);
        return (_rewrites && !IsReadOnly ? used | BlockPermission.Write : used, childShared);
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        long zeroes = length;
        long data = 0;
        foreach (BlockChild child in Children)
        {
            try
            {
                BlockStatus run = await BlockStatusWalk.StatusAsync(child.Node, offset, length).ConfigureAwait(false);
                (zeroes, data) = run.IsZero ? (Math.Min(zeroes, run.Length), data) : (zeroes, Math.Max(data, run.Length));
            }
            catch (BlockIoException e)
            {
                ReportBad(QuorumOpType.Read, child, offset, length, e);
                data = length;
            }
        }

        return data > 0
            ? new BlockMapping(BlockMappingKind.Data, data, null, new HostOffset(offset))
            : new BlockMapping(BlockMappingKind.Zero, zeroes);
    }

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) =>
        _isFifo ? ReadFirstAsync(offset, buffer) : ReadAllAsync(offset, buffer);

    /// <inheritdoc/>
    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        BlockIoException?[] failures = await AskAllAsync(i => Children[i].Node.WriteAsync(offset, buffer, flags)).ConfigureAwait(false);
        Settle(QuorumOpType.Write, failures, offset, buffer.Length);
        GrowSize(offset + buffer.Length);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        BlockIoException?[] failures = await AskAllAsync(i => Children[i].Node.WriteZeroesAsync(offset, length, flags)).ConfigureAwait(false);
        Settle(QuorumOpType.Write, failures, offset, length);
        GrowSize(offset + length);
    }

    /// <inheritdoc/>
    /// <remarks>Copies may read differently where they were discarded, so nothing is.</remarks>
    protected override ValueTask DoDiscardAsync(long offset, long length) => default;

    /// <inheritdoc/>
    protected override async ValueTask DoFlushAsync()
    {
        BlockIoException?[] failures = await AskAllAsync(i => Children[i].Node.FlushAsync()).ConfigureAwait(false);
        if (Settle(QuorumOpType.Flush, failures) is { } failure)
        {
            throw failure;
        }
    }

    private async ValueTask ReadFirstAsync(long offset, Memory<byte> buffer)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                await Children[i].Node.ReadAsync(offset, buffer).ConfigureAwait(false);
                return;
            }
            catch (BlockIoException e)
            {
                ReportBad(QuorumOpType.Read, Children[i], offset, buffer.Length, e);
                if (i == Children.Count - 1)
                {
                    throw;
                }
            }
        }
    }

    private async ValueTask ReadAllAsync(long offset, Memory<byte> buffer)
    {
        int length = buffer.Length;
        var answers = new IoBuffer[Children.Count];
        for (int i = 0; i < answers.Length; i++)
        {
            answers[i] = IoBufferPool.Rent(Math.Max(length, 1));
        }

        try
        {
            BlockIoException?[] failures =
                await AskAllAsync(i => Children[i].Node.ReadAsync(offset, answers[i].Memory[..length])).ConfigureAwait(false);
            Settle(QuorumOpType.Read, failures, offset, length);
            List<int> voters = [.. Enumerable.Range(0, answers.Length).Where(i => failures[i] is null)];
            bool AreEqual(int a, int b) => answers[a].GetSpan()[..length].SequenceEqual(answers[b].GetSpan()[..length]);
            (int winner, List<int> votes) = QuorumVote.Count(voters, AreEqual);
            await ConcludeAsync(answers, voters, votes, winner, offset, length).ConfigureAwait(false);
            answers[winner].GetSpan()[..length].CopyTo(buffer.Span);
        }
        finally
        {
            Array.ForEach(answers, answer => answer.Return());
        }
    }

    private async ValueTask ConcludeAsync(IoBuffer[] answers, List<int> voters, List<int> votes, int winner, long offset, int length)
    {
        if (votes.Count == voters.Count)
        {
            return;
        }

        if (votes.Count < _threshold)
        {
            if (_verifies)
            {
                int at = answers[0].GetSpan()[..length].CommonPrefixLength(answers[1].GetSpan()[..length]);
                DaemonLog.Error("Block", $"quorum {NodeName}: offset={offset} bytes={length} contents mismatch at offset {offset + at}");
            }

            throw Failure(offset, length, Errno.EIO);
        }

        foreach (int loser in voters.Except(votes))
        {
            ReportBad(QuorumOpType.Read, Children[loser], offset, length, failure: null);
            if (_rewrites && !IsReadOnly)
            {
                await RewriteAsync(Children[loser].Node, offset, answers[winner].Memory[..length]).ConfigureAwait(false);
            }
        }
    }

    private static async ValueTask RewriteAsync(BlockNode copy, long offset, ReadOnlyMemory<byte> right)
    {
        try
        {
            await copy.WriteAsync(offset, right).ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            DaemonLog.Warn("Block", $"quorum: node {copy.NodeName} could not be mended at {offset}: {e.Message}");
        }
    }

    /// <summary>Asks every copy at once; what failed is in its place of the answer.</summary>
    private async ValueTask<BlockIoException?[]> AskAllAsync(Func<int, ValueTask> ask)
    {
        var work = new Task<BlockIoException?>[Children.Count];
        for (int i = 0; i < work.Length; i++)
        {
            work[i] = CatchAsync(ask, i);
        }

        return await Task.WhenAll(work).ConfigureAwait(false);
    }

    private static async Task<BlockIoException?> CatchAsync(Func<int, ValueTask> ask, int i)
    {
        try
        {
            await ask(i).ConfigureAwait(false);
            return null;
        }
        catch (BlockIoException e)
        {
            return e;
        }
    }

    /// <summary>Announces the copies that failed; throws if too few are left.</summary>
    private void Settle(QuorumOpType type, BlockIoException?[] failures, long offset, long length)
    {
        if (Settle(type, failures, (offset, length)) is { } failure)
        {
            throw Failure(offset, length, failure.Errno);
        }
    }

    private BlockIoException? Settle(QuorumOpType type, BlockIoException?[] failures, (long Offset, long Length) range = default)
    {
        List<int> failed = [.. Enumerable.Range(0, failures.Length).Where(i => failures[i] is not null)];
        foreach (int i in failed)
        {
            ReportBad(type, Children[i], range.Offset, range.Length, failures[i]);
        }

        return failures.Length - failed.Count >= _threshold
            ? null
            : failures[QuorumVote.Count(failed, (a, b) => failures[a]!.Errno == failures[b]!.Errno).Winner];
    }

    private void ReportBad(QuorumOpType type, BlockChild copy, long offset, long length, BlockIoException? failure)
    {
        var (sector, count) = Sectors(offset, length);
        _events.QuorumReportBad(type, copy.Node.NodeName, sector, count, failure is null ? null : Errno.Describe(failure.Errno));
    }

    private BlockIoException Failure(long offset, long length, int errno)
    {
        var (sector, count) = Sectors(offset, length);
        _events.QuorumFailure(NodeName, sector, count);
        return new BlockIoException(errno);
    }

    private static (long Sector, long Count) Sectors(long offset, long length)
    {
        long sector = offset / SectorBytes;
        return (sector, ((offset + length + SectorBytes - 1) / SectorBytes) - sector);
    }
}
