namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Clusters that no table in memory refers to any more, but that may not be reused yet. Used under the allocation lock.</summary>
/// <remarks>
/// Two things must happen first. The removal of the last reference must be durable: else a crash would bring back an entry for a
/// cluster that has become another's. And the requests that looked the entry up before must have left.
/// </remarks>
/// <param name="requests">Tells when they have.</param>
internal sealed class RetiredClusters(GracePeriods requests)
{
    private readonly List<Retired> _unlinked = [];
    private readonly Queue<Retired> _durable = new();

    /// <summary>Clusters whose removal is not durable yet.</summary>
    public long UnlinkedCount { get; private set; }

    /// <summary>All clusters that still have the reference they are to lose.</summary>
    public IEnumerable<ClusterRun> All => _unlinked.Concat(_durable).Select(retired => retired.Run);

    /// <summary>Takes clusters whose entry was just overwritten in memory.</summary>
    /// <param name="run">The clusters; each loses one reference.</param>
    /// <param name="reason">Decides whether the file is told when they are free.</param>
    public void Add(ClusterRun run, Qcow2Discard reason)
    {
        UnlinkedCount += run.Count;
        if (_unlinked.Count > 0 && _unlinked[^1] is var last && last.Run.First + last.Run.Count == run.First && last.Reason == reason)
        {
            _unlinked[^1] = new Retired(last.Run with { Count = last.Run.Count + run.Count }, reason, requests.Stamp);
            return;
        }

        _unlinked.Add(new Retired(run, reason, requests.Stamp));
    }

    /// <summary>Takes note that all removals so far are durable.</summary>
    public void SetDurable()
    {
        foreach (Retired retired in _unlinked)
        {
            _durable.Enqueue(retired);
        }

        _unlinked.Clear();
        UnlinkedCount = 0;
    }

    /// <summary>The next clusters that may lose their reference now.</summary>
    public bool TryTake(out ClusterRun run, out Qcow2Discard reason)
    {
        if (_durable.TryPeek(out Retired next) && requests.HasPassed(next.Stamp))
        {
            _durable.Dequeue();
            (run, reason) = (next.Run, next.Reason);
            return true;
        }

        (run, reason) = (default, default);
        return false;
    }

    private readonly record struct Retired(ClusterRun Run, Qcow2Discard Reason, long Stamp);
}
