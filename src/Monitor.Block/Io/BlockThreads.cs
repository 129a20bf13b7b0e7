using Monitor.Qapi;

namespace Monitor.Block.Io;

/// <summary>The block layer's own threads for calls that may block long: cold reads, fsync, fallocate, open, SEEK_DATA, O_DIRECT.</summary>
/// <remarks>Never .NET's pool: a slow disk must not stall what runs there. Threads are made on demand and end when idle.</remarks>
public static class BlockThreads
{
    /// <summary>Threads at most; further work waits in order.</summary>
    private const int ThreadLimit = 64;

    private static readonly TimeSpan s_idleTime = TimeSpan.FromSeconds(10);
    private static readonly Queue<Action> s_work = new();
    private static readonly object s_gate = new();
    private static int s_threads;
    private static int s_idle;

    /// <summary>Runs <paramref name="work"/> on a block thread.</summary>
    /// <param name="work">May block; an exception completes the task with it.</param>
    /// <returns>Completes on the block thread (continuations without a context run there).</returns>
    public static Task RunAsync(Action work) => RunAsync(() =>
    {
        work();
        return true;
    });

    /// <summary>Runs <paramref name="work"/> on a block thread and gives back what it returns.</summary>
    /// <typeparam name="T">What the work returns.</typeparam>
    /// <param name="work">May block; an exception completes the task with it.</param>
    public static Task<T> RunAsync<T>(Func<T> work)
    {
        var done = new TaskCompletionSource<T>();
        Queue(() =>
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return done.Task;
    }

    /// <summary>Runs asynchronous <paramref name="work"/> starting on a block thread; what it does synchronously happens there.</summary>
    /// <typeparam name="T">What the work returns.</typeparam>
    /// <param name="work">The work; an exception completes the task with it.</param>
    public static async Task<T> RunAsync<T>(Func<ValueTask<T>> work) =>
        await (await RunAsync(() => work().AsTask()).ConfigureAwait(false)).ConfigureAwait(false);

    /// <summary>Runs asynchronous <paramref name="work"/> starting on a block thread; what it does synchronously happens there.</summary>
    /// <param name="work">The work; an exception completes the task with it.</param>
    public static async Task RunAsync(Func<ValueTask> work) =>
        await (await RunAsync(() => work().AsTask()).ConfigureAwait(false)).ConfigureAwait(false);

    private static void Queue(Action work)
    {
        if (DescriptorNames.Current is { } names)
        {
            work = names.Bind(work);
        }

        lock (s_gate)
        {
            s_work.Enqueue(work);
            if (s_idle >= s_work.Count)
            {
                System.Threading.Monitor.Pulse(s_gate);
                return;
            }

            if (s_threads == ThreadLimit)
            {
                return;
            }

            s_threads++;
        }

        try
        {
            new Thread(Serve) { IsBackground = true, Name = "block" }.Start();
        }
        catch (OutOfMemoryException)
        {
            ServeWithoutThread();
        }
    }

    /// <summary>The system has no thread to give: those there are will come to the work, or it is done here.</summary>
    private static void ServeWithoutThread()
    {
        Action? own;
        lock (s_gate)
        {
            s_threads--;
            own = s_threads == 0 && s_work.TryDequeue(out Action? work) ? work : null;
        }

        own?.Invoke();
    }

    private static void Serve()
    {
        while (Take() is { } work)
        {
            work();
        }
    }

    private static Action? Take()
    {
        lock (s_gate)
        {
            while (s_work.Count == 0)
            {
                s_idle++;
                bool woken = System.Threading.Monitor.Wait(s_gate, s_idleTime);
                s_idle--;
                if (!woken && s_work.Count == 0)
                {
                    s_threads--;
                    return null;
                }
            }

            return s_work.Dequeue();
        }
    }
}
