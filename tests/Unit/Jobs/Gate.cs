namespace Unit.Jobs;

/// <summary>Holds one request of a <see cref="GatedNode"/> until the test opens it.</summary>
internal sealed class Gate
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _open = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when a request stands at the gate.</summary>
    public Task Reached => _reached.Task.WaitAsync(TimeSpan.FromSeconds(60));

    public void Open() => _open.TrySetResult();

    public Task PassAsync()
    {
        _reached.TrySetResult();
        return _open.Task;
    }
}
