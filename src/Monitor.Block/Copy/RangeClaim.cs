namespace Monitor.Block.Copy;

/// <summary>A range that one operation has to itself; made and ended by <see cref="InFlightRanges"/>.</summary>
public sealed class RangeClaim
{
    private TaskCompletionSource? _ended;

    internal RangeClaim(long offset, long length)
    {
        Offset = offset;
        Length = length;
    }

    /// <summary>First byte.</summary>
    public long Offset { get; }

    /// <summary>Bytes.</summary>
    public long Length { get; }

    /// <summary>Behind the last byte.</summary>
    public long End => Offset + Length;

    /// <summary>Completes when the claim ends; asked for under the owner's lock, so that it costs nothing where nobody waits.</summary>
    internal Task WhenEnded() => (_ended ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    internal void SetEnded() => _ended?.SetResult();
}
