namespace Monitor.Block.Drivers.Shaping;

/// <summary>Keeps a write that first reads a block apart from all other writes, which go side by side; first come, first served.</summary>
internal sealed class WriteOrder
{
    private readonly Lock _gate = new();
    private readonly Queue<(TaskCompletionSource Turn, bool Alone)> _waiting = new();
    private int _together;
    private bool _alone;

    /// <summary>Begins a write; needs one <see cref="Exit"/>.</summary>
    /// <param name="alone">Whether nothing else may cross it.</param>
    public ValueTask EnterAsync(bool alone)
    {
        lock (_gate)
        {
            if (_waiting.Count == 0 && TryBegin(alone))
            {
                return default;
            }

            var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue((turn, alone));
            return new ValueTask(turn.Task);
        }
    }

    /// <summary>Ends either kind of write.</summary>
    public void Exit()
    {
        List<TaskCompletionSource>? next = null;
        lock (_gate)
        {
            if (_alone)
            {
                _alone = false;
            }
            else
            {
                _together--;
            }

            while (_waiting.TryPeek(out var first) && TryBegin(first.Alone))
            {
                _waiting.Dequeue();
                (next ??= []).Add(first.Turn);
            }
        }

        next?.ForEach(turn => turn.SetResult());
    }

    private bool TryBegin(bool alone)
    {
        if (_alone || (alone && _together > 0))
        {
            return false;
        }

        if (alone)
        {
            _alone = true;
        }
        else
        {
            _together++;
        }

        return true;
    }
}
