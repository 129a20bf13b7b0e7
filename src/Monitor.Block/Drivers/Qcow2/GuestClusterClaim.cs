namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Guest clusters whose entries are about to change: until that has ended other changes of them wait.</summary>
/// <param name="first">The first guest cluster's number.</param>
/// <param name="count">How many.</param>
/// <param name="slice">Holds the entries; pinned.</param>
/// <param name="entry">The first entry's number in the slice.</param>
internal sealed class GuestClusterClaim(long first, long count, MetadataBlock slice, int entry)
{
    private TaskCompletionSource? _done;

    public MetadataBlock Slice { get; } = slice;

    public int Entry { get; } = entry;

    /// <summary>Completes when the claim has ended. Asked under the allocation lock, before it ends.</summary>
    public Task Done => (_done ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Whether a guest cluster is among those claimed.</summary>
    public bool Covers(long cluster) => cluster >= first && cluster < first + count;

    /// <summary>Lets the waiters go on; under the allocation lock.</summary>
    public void SetDone() => _done?.SetResult();
}
