using Monitor.Jobs;
using Monitor.Qapi;

namespace Unit.Jobs;

/// <summary>A job whose body waits for the test.</summary>
internal sealed class TestJob(JobManager manager, JobSettings settings) : Job(manager, JobType.Create, settings)
{
    private readonly TaskCompletionSource<Exception?> _finish = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private readonly TaskCompletionSource _left = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool BecomesReady { get; init; }

    public Exception? PrepareFailure { get; init; }

    /// <summary>Completes when the body runs.</summary>
    public TaskCompletionSource Begun { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public List<string> Ends { get; } = [];

    public TaskCompletionSource IsReadyNow { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Lets the body end, well or with a failure.</summary>
    public void Finish(Exception? failure = null) => _finish.TrySetResult(failure);

    /// <summary>Completes when the body is over and the loop has heard of it.</summary>
    public async Task BodyLeftAsync(JobRoom room)
    {
        await _left.Task;

        // The end was posted after the body; a later post comes after it.
        await room.Loop.RunAsync(async () => await Task.Yield());
        await Task.Run(() => room.Turn(() => { }));
    }

    protected override async ValueTask RunAsync()
    {
        try
        {
            await DoRunAsync().ConfigureAwait(false);
        }
        finally
        {
            _left.SetResult();
        }
    }

    private async Task DoRunAsync()
    {
        Begun.SetResult();
        if (BecomesReady)
        {
            await EnterReadyAsync().ConfigureAwait(false);
            IsReadyNow.SetResult();
        }

        if (await _finish.Task.WaitAsync(Cancellation).ConfigureAwait(false) is { } failure)
        {
            throw failure;
        }
    }

    protected override bool TryComplete()
    {
        Finish();
        return true;
    }

    protected override ValueTask PrepareAsync() => PrepareFailure is null ? default : throw PrepareFailure;

    protected override ValueTask CommitAsync()
    {
        Ends.Add("commit");
        return default;
    }

    protected override ValueTask AbortAsync()
    {
        Ends.Add("abort");
        return default;
    }

    protected override void UndoMaking() => Ends.Add("undo");

    protected override ValueTask CleanAsync()
    {
        Ends.Add("clean");
        return default;
    }
}
