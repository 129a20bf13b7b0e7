namespace Monitor.Jobs.Copy;

/// <summary>A range that one operation has to itself; made and ended by <see cref="InFlightRanges"/>.</summary>
internal sealed class RangeClaim(long offset, long length)
{
    private TaskCompletionSource? _ended;

    public long Offset { get; } = offset;

    public long Length { get; } = length;

    public long End => Offset + Length;

    /// <summary>Completes when the claim ends; asked for under the owner's lock, so that it costs nothing where nobody waits.</summary>
    internal Task WhenEnded() => (_ended ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    internal void SetEnded() => _ended?.SetResult();
}
