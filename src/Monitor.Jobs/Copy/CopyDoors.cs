using Monitor.Block;

namespace Monitor.Jobs.Copy;

/// <summary>A job's two doors. A copy goes into both at once, or into none and waits outside.</summary>
/// <param name="drainedChanged">Told in turns that one of them closes (true) or opens (false).</param>
internal sealed class CopyDoors(Action<bool> drainedChanged)
{
    public BlockBackend Source { get; } = new() { DrainedChanged = drainedChanged };

    public BlockBackend Target { get; } = new() { DrainedChanged = drainedChanged };

    /// <summary>Goes into both.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="cancellation"/> fired while waiting.</exception>
    public async ValueTask EnterAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (!Source.TryEnter())
            {
                await Source.WaitOpenAsync().WaitAsync(cancellation).ConfigureAwait(false);
            }
            else if (!Target.TryEnter())
            {
                Source.Exit();
                await Target.WaitOpenAsync().WaitAsync(cancellation).ConfigureAwait(false);
            }
            else
            {
                return;
            }
        }
    }

    /// <summary>Leaves both.</summary>
    public void Exit()
    {
        Target.Exit();
        Source.Exit();
    }
}
