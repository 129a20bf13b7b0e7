namespace Monitor.Block.Drivers.Qcow2;

/// <summary>New clusters for a write, from their allocation until the L2 entries point at them; other changes of the same guest clusters wait.</summary>
/// <param name="node">The image.</param>
/// <param name="guestCluster">The first guest cluster's number.</param>
/// <param name="run">The host clusters.</param>
/// <param name="slice">Holds the entries; pinned.</param>
/// <param name="entry">The first entry's number in the slice.</param>
/// <param name="isKept">The clusters were the entries' own already (preallocated zero clusters), so giving them back frees nothing.</param>
internal sealed class Qcow2Allocation(Qcow2Node node, long guestCluster, ClusterRun run, MetadataBlock slice, int entry, bool isKept)
    : ClusterAllocation
{
    private TaskCompletionSource? _done;

    public ClusterRun Run { get; } = run;

    public MetadataBlock Slice { get; } = slice;

    public int Entry { get; } = entry;

    public bool IsKept { get; } = isKept;

    /// <summary>The first guest cluster's number.</summary>
    public long GuestCluster { get; } = guestCluster;

    /// <summary>Whether a guest cluster is among those being written.</summary>
    public bool Covers(long cluster) => cluster >= GuestCluster && cluster < GuestCluster + Run.Count;

    /// <summary>Completes when the allocation has ended. Asked under the allocation lock, before it ends.</summary>
    public Task Done => (_done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <inheritdoc/>
    public override ValueTask LinkAsync() => node.LinkAsync(this);

    /// <inheritdoc/>
    public override ValueTask AbandonAsync() => node.AbandonAsync(this);

    /// <summary>Lets the waiters go on; under the allocation lock.</summary>
    public void SetDone() => _done?.SetResult();
}

