using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>One connection in its transmission phase: any number of callers, many requests on their way, answers in any order.</summary>
/// <remarks>
/// A caller takes a slot, queues its request and, if nobody is sending, sends what is queued (<see cref="NbdOutgoing"/>). One thread
/// receives; it runs what waited for an answer and lets the requests made meanwhile go out together. When the connection ends, for
/// whatever reason, that thread waits until nobody sends any more, then ends every request: no memory of a caller is touched after.
/// A request costs no allocation.
/// </remarks>
internal sealed class NbdConnection
{
    /// <summary>Requests on their way at most; further ones wait for a slot.</summary>
    private const int RequestLimit = 128;

    private readonly NbdSocket _socket;
    private readonly NbdClientExport _export;
    private readonly Action<NbdConnection, bool> _lost;
    private readonly Lock _gate = new();
    private readonly Stack<NbdRequest> _free = new(RequestLimit);
    private readonly Queue<TaskCompletionSource> _waiting = new();
    private readonly NbdRequest?[] _underWay = new NbdRequest?[RequestLimit];
    private readonly NbdOutgoing _outgoing;
    private bool _ended;

    /// <summary>Takes over a connection whose negotiation is done; <see cref="Start"/> begins to receive.</summary>
    /// <param name="socket">Closed when the connection is over.</param>
    /// <param name="export">What was negotiated.</param>
    /// <param name="lost">Called once, before the requests end: whether the server broke the protocol.</param>
    public NbdConnection(NbdSocket socket, NbdClientExport export, Action<NbdConnection, bool> lost)
    {
        _socket = socket;
        _export = export;
        _lost = lost;
        _outgoing = new NbdOutgoing(socket);
        for (int i = RequestLimit - 1; i >= 0; i--)
        {
            _free.Push(new NbdRequest(this, i));
        }
    }

    /// <summary>Begins to receive.</summary>
    public void Start() => new Thread(Receive) { IsBackground = true, Name = "nbd-client" }.Start();

    /// <summary>Sends a request.</summary>
    /// <param name="command">What is to be done.</param>
    /// <param name="flags">How.</param>
    /// <param name="offset">Position in bytes.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="payload">The bytes of a write; not changed until the answer is there.</param>
    /// <param name="destination">Where the bytes of a read go.</param>
    public ValueTask<NbdAnswer> SendAsync(
        NbdCommand command, NbdCommandFlags flags, long offset, uint length, ReadOnlyMemory<byte> payload, Memory<byte> destination)
    {
        NbdRequest? request;
        bool mustSend;
        lock (_gate)
        {
            if (_ended)
            {
                return new ValueTask<NbdAnswer>(new NbdAnswer(NbdAnswer.Lost));
            }

            if (!_free.TryPop(out request))
            {
                var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _waiting.Enqueue(turn);
                return SendLaterAsync(turn.Task, command, flags, offset, length, payload, destination);
            }

            request.Begin(command, flags, offset, length, payload, destination);
            _underWay[NbdRequest.IndexOf(request.Header.Cookie)] = request;
            mustSend = _outgoing.Enqueue(request);
        }

        ValueTask<NbdAnswer> answer = request.Task;
        if (mustSend)
        {
            _outgoing.Send();
        }

        return answer;
    }

    /// <summary>Ends the connection from any thread, telling the server first if that needs no wait.</summary>
    public void Close()
    {
        _outgoing.SendDisconnect();
        _socket.Shutdown();
    }

    /// <summary>The request under way that a cookie names.</summary>
    /// <exception cref="NbdProtocolException">There is none.</exception>
    public NbdRequest Find(ulong cookie)
    {
        int index = NbdRequest.IndexOf(cookie);
        NbdRequest? request = index < RequestLimit ? Volatile.Read(ref _underWay[index]) : null;
        return request is { IsAnswered: false } && request.Header.Cookie == cookie
            ? request
            : throw new NbdProtocolException($"it answered a request that was not made (cookie {cookie:x})");
    }

    /// <summary>A request is about to end.</summary>
    public void Forget(NbdRequest request) => Volatile.Write(ref _underWay[NbdRequest.IndexOf(request.Header.Cookie)], null);

    /// <summary>A slot is free again.</summary>
    public void Return(NbdRequest request)
    {
        TaskCompletionSource? turn;
        lock (_gate)
        {
            _free.Push(request);
            _waiting.TryDequeue(out turn);
        }

        turn?.SetResult();
    }

    private async ValueTask<NbdAnswer> SendLaterAsync(
        Task turn, NbdCommand command, NbdCommandFlags flags, long offset, uint length, ReadOnlyMemory<byte> payload, Memory<byte> destination)
    {
        await turn.ConfigureAwait(false);
        return await SendAsync(command, flags, offset, length, payload, destination).ConfigureAwait(false);
    }

    private void Receive()
    {
        bool isBroken = false;
        try
        {
            using var replies = new NbdReplies(this, _socket, _outgoing, _export);
            replies.Process();
        }
        catch (NbdProtocolException e)
        {
            isBroken = true;
            DaemonLog.Error("Nbd", $"a server broke the protocol: {e.Message}");
        }

        End(isBroken);
    }

    private void End(bool isBroken)
    {
        _socket.Shutdown();
        lock (_gate)
        {
            _ended = true;
        }

        _outgoing.Stop();
        _socket.Dispose();
        _lost(this, isBroken);
        foreach (NbdRequest? request in _underWay)
        {
            request?.Lose();
        }

        while (true)
        {
            TaskCompletionSource? turn;
            lock (_gate)
            {
                if (!_waiting.TryDequeue(out turn))
                {
                    return;
                }
            }

            turn.SetResult();
        }
    }
}
