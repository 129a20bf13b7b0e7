namespace Monitor.Block.Throttling;

/// <summary>A request that waits until its group lets it pass.</summary>
/// <param name="bytes">Its length.</param>
internal sealed class ThrottledRequest(long bytes) : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
{
    public long Bytes => bytes;
}
