namespace Monitor.Block;

/// <summary>The FIFO gate that commands which change the graph hold from their last check to their edit; used in turns only.</summary>
internal sealed class GraphGate
{
    private readonly Queue<TaskCompletionSource> _waiting = new();
    private bool _taken;

    public async ValueTask<GraphChange> EnterAsync()
    {
        if (_taken)
        {
            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue(turn);
            await turn.Task;
        }

        _taken = true;
        return new GraphChange(this);
    }

    internal void Leave()
    {
        if (_waiting.TryDequeue(out TaskCompletionSource? next))
        {
            // The gate stays taken: it passes straight to the next in line.
            next.SetResult();
            return;
        }

        _taken = false;
    }
}

/// <summary>The right to change the graph; dispose in a turn to pass it on.</summary>
public sealed class GraphChange : IDisposable
{
    private GraphGate? _gate;

    internal GraphChange(GraphGate gate) => _gate = gate;

    /// <summary>Passes the right on.</summary>
    public void Dispose()
    {
        GraphGate? gate = _gate;
        _gate = null;
        gate?.Leave();
    }
}
