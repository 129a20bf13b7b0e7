using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>Stops requests where a person asked for it, and lets them go on by the tags that they got.</summary>
/// <remarks>
/// A point of work that has a breakpoint spends it; the request that comes to the node next, which is the one that the point was about, waits.
/// Example: <c>break write_aio A</c>, a write comes and waits as A; <c>wait_break A</c> ends; <c>resume A</c> lets the write go on.
/// A drain lets all go on: it must end.
/// </remarks>
internal sealed class BlkdebugBreakpoints
{
    private readonly Lock _gate = new();
    private readonly List<(BlkdebugEvent Event, string Tag)> _set = [];
    private readonly Queue<string> _due = new();
    private readonly List<(string Tag, TaskCompletionSource Going)> _stopped = [];
    private readonly List<(string Tag, TaskCompletionSource Seen)> _waiting = [];
    private volatile bool _isDue;

    /// <summary>Sets a breakpoint.</summary>
    public void Set(BlkdebugEvent evt, string tag)
    {
        lock (_gate)
        {
            _set.Add((evt, tag));
        }
    }

    /// <summary>Takes breakpoints away and lets go what they stopped.</summary>
    /// <returns>Whether the tag stood for anything.</returns>
    public bool Remove(string tag)
    {
        lock (_gate)
        {
            return _set.RemoveAll(point => point.Tag == tag) > 0 | Release(stopped => stopped == tag);
        }
    }

    /// <summary>Lets the requests of a tag go on.</summary>
    /// <returns>Whether one was stopped.</returns>
    public bool Resume(string tag)
    {
        lock (_gate)
        {
            return Release(stopped => stopped == tag);
        }
    }

    /// <summary>Lets every request go on.</summary>
    public void ResumeAll()
    {
        lock (_gate)
        {
            _due.Clear();
            _isDue = false;
            Release(_ => true);
        }
    }

    /// <summary>Completes when a request of the tag is stopped.</summary>
    public Task WaitAsync(string tag)
    {
        lock (_gate)
        {
            if (_stopped.Exists(stopped => stopped.Tag == tag))
            {
                return Task.CompletedTask;
            }

            var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Add((tag, seen));
            return seen.Task;
        }
    }

    /// <summary>A point of work was reached.</summary>
    public void OnEvent(BlkdebugEvent evt)
    {
        lock (_gate)
        {
            for (int i = _set.FindIndex(point => point.Event == evt); i >= 0; i = _set.FindIndex(point => point.Event == evt))
            {
                _due.Enqueue(_set[i].Tag);
                _set.RemoveAt(i);
                _isDue = true;
            }
        }
    }

    /// <summary>A request comes by: it waits if the point before it had a breakpoint.</summary>
    public ValueTask PassAsync() => _isDue ? StopAsync() : default;

    private async ValueTask StopAsync()
    {
        while (true)
        {
            Task going;
            lock (_gate)
            {
                if (!_due.TryDequeue(out string? tag))
                {
                    _isDue = false;
                    return;
                }

                var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _stopped.Add((tag, stop));
                going = stop.Task;
                _waiting.FindAll(wait => wait.Tag == tag).ForEach(wait => wait.Seen.SetResult());
                _waiting.RemoveAll(wait => wait.Tag == tag);
            }

            await going.ConfigureAwait(false);
        }
    }

    private bool Release(Predicate<string> tags)
    {
        List<(string Tag, TaskCompletionSource Going)> released = _stopped.FindAll(stopped => tags(stopped.Tag));
        _stopped.RemoveAll(released.Contains);
        released.ForEach(stopped => stopped.Going.SetResult());
        return released.Count > 0;
    }
}
