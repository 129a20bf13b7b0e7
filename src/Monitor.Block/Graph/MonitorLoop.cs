using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The owner of the control plane: code that holds its lock is a <em>turn</em>, and turns never block.</summary>
/// <remarks>
/// The idea: a command's first turn runs on the thread that read it (a hop to another thread would cost 12 µs); what follows an
/// <c>await</c> is a turn on the loop's own thread. So the loop is a lock, a queue, a thread and the
/// <see cref="SynchronizationContext"/> that brings awaits back. A piece after an <c>await</c> must check again what it relied on.
/// </remarks>
public sealed class MonitorLoop : SynchronizationContext, ITurnScheduler, IDisposable
{
    private readonly Lock _lock = new();
    private readonly object _queueGate = new();
    private readonly Thread _thread;
    private Queue<(SendOrPostCallback Turn, object? State)> _queue = new();
    private bool _stopping;

    /// <summary>Makes the loop and starts its thread.</summary>
    public MonitorLoop()
    {
        _thread = new Thread(Serve) { IsBackground = true, Name = "loop" };
        _thread.Start();
    }

    /// <summary>Whether the calling code is a turn.</summary>
    public bool InTurn => _lock.IsHeldByCurrentThread;

    /// <inheritdoc/>
    public void Run<TState>(Action<TState> turn, TState state)
    {
        SynchronizationContext? before = Current;
        lock (_lock)
        {
            SetSynchronizationContext(this);
            try
            {
                turn(state);
            }
            finally
            {
                SetSynchronizationContext(before);
            }
        }
    }

    /// <inheritdoc/>
    public void Post(Action turn) => Post(static state => ((Action)state!)(), turn);

    /// <inheritdoc/>
    public override void Post(SendOrPostCallback d, object? state)
    {
        lock (_queueGate)
        {
            _queue.Enqueue((d, state));
            if (_queue.Count == 1)
            {
                System.Threading.Monitor.Pulse(_queueGate);
            }
        }
    }

    /// <inheritdoc/>
    public override void Send(SendOrPostCallback d, object? state) => Run(static call => call.d(call.state), (d, state));

    /// <summary>Runs an asynchronous piece of control-plane code from any thread; its first turn runs here.</summary>
    /// <param name="work">Starts as a turn; resumes as turns.</param>
    /// <returns>Completes when the work has.</returns>
    public Task RunAsync(Func<Task> work)
    {
        Task? task = null;
        Run(w => task = w(), work);
        return task!;
    }

    /// <summary>Runs an asynchronous piece of control-plane code from any thread; its first turn runs here.</summary>
    /// <typeparam name="T">What the work returns.</typeparam>
    /// <param name="work">Starts as a turn; resumes as turns.</param>
    public Task<T> RunAsync<T>(Func<Task<T>> work)
    {
        Task<T>? task = null;
        Run(w => task = w(), work);
        return task!;
    }

    /// <summary>Ends the loop's thread after the turns queued so far.</summary>
    public void Dispose()
    {
        lock (_queueGate)
        {
            _stopping = true;
            System.Threading.Monitor.Pulse(_queueGate);
        }

        if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    private void Serve()
    {
        var batch = new Queue<(SendOrPostCallback Turn, object? State)>();
        while (TakeBatch(ref batch))
        {
            while (batch.TryDequeue(out var next))
            {
                Run(static call => call.Turn(call.State), next);
            }
        }
    }

    private bool TakeBatch(ref Queue<(SendOrPostCallback Turn, object? State)> batch)
    {
        lock (_queueGate)
        {
            while (_queue.Count == 0)
            {
                if (_stopping)
                {
                    return false;
                }

                System.Threading.Monitor.Wait(_queueGate);
            }

            (batch, _queue) = (_queue, batch);
            return true;
        }
    }
}
