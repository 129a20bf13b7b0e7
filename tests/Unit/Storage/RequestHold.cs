namespace Unit.Storage;

/// <summary>While it is closed, requests that came to a <see cref="HeldNode"/> stay inside it.</summary>
internal sealed class RequestHold
{
    private TaskCompletionSource? _open;
    private int _came;

    /// <summary>Requests that have come to a node so far.</summary>
    public int Came => Volatile.Read(ref _came);

    public void Close() => Volatile.Write(ref _open, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));

    /// <summary>Lets all go on.</summary>
    public void Open() => Interlocked.Exchange(ref _open, null)?.SetResult();

    public Task PassAsync()
    {
        Task open = Volatile.Read(ref _open)?.Task ?? Task.CompletedTask;
        Interlocked.Increment(ref _came);
        return open;
    }
}
