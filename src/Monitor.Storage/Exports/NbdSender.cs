using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Exports;

/// <summary>Keeps replies whole on the socket: one sender at a time, and no thread but the connection's own ever waits for the client.</summary>
/// <remarks>
/// The connection's thread sends its batches and may wait. A request that completes elsewhere queues its reply; if nobody is sending,
/// its thread sends without waiting. When the client does not keep up, the rest goes to a thread made for that, once per
/// connection, so that a slow reader never holds a thread of the block layer. The queue is bounded by
/// <see cref="NbdPendingRequests.CountLimit"/>.
/// </remarks>
internal sealed class NbdSender(NbdSocket socket, NbdPendingRequests pending) : IDisposable
{
    private readonly object _gate = new();
    private readonly Queue<NbdPendingRequest> _ready = new();
    private NbdPendingRequest? _stuck;
    private Thread? _thread;
    private bool _busy;
    private bool _closed;

    /// <summary>Sends bytes, waiting for the client; for the connection's thread. A lost connection shows when it next receives.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            while (_busy)
            {
                System.Threading.Monitor.Wait(_gate);
            }

            _busy = true;
        }

        socket.Send(bytes);
        SendReady(wait: true);
    }

    /// <summary>Sends a finished reply, or leaves it to whoever is sending, and then gives the request back.</summary>
    /// <param name="request">Its reply is complete.</param>
    /// <param name="wait">Whether this thread may wait for the client.</param>
    public void Deliver(NbdPendingRequest request, bool wait)
    {
        lock (_gate)
        {
            _ready.Enqueue(request);
            if (_busy)
            {
                return;
            }

            _busy = true;
        }

        SendReady(wait);
    }

    /// <summary>Ends the helping thread; nothing is pending any more.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            System.Threading.Monitor.PulseAll(_gate);
        }
    }

    private void SendReady(bool wait)
    {
        while (TakeReady() is { } request)
        {
            if (!request.TrySend(socket, wait))
            {
                HandOver(request);
                return;
            }

            pending.Return(request);
        }
    }

    private NbdPendingRequest? TakeReady()
    {
        lock (_gate)
        {
            if (_ready.TryDequeue(out NbdPendingRequest? request))
            {
                return request;
            }

            _busy = false;
            System.Threading.Monitor.PulseAll(_gate);
            return null;
        }
    }

    private void HandOver(NbdPendingRequest request)
    {
        lock (_gate)
        {
            _thread ??= ClientThread.TryStart("nbd-send", Serve);
            if (_thread is not null)
            {
                _stuck = request;
                System.Threading.Monitor.PulseAll(_gate);
                return;
            }
        }

        socket.Shutdown();
        SendStuck(request);
    }

    private void Serve()
    {
        DaemonLog.Debug("Nbd", "a client reads slowly: its replies are sent by a thread of their own");
        while (TakeStuck() is { } request)
        {
            SendStuck(request);
        }
    }

    private void SendStuck(NbdPendingRequest request)
    {
        request.TrySend(socket, wait: true);
        pending.Return(request);
        SendReady(wait: true);
    }

    private NbdPendingRequest? TakeStuck()
    {
        lock (_gate)
        {
            while (_stuck is null && !_closed)
            {
                System.Threading.Monitor.Wait(_gate);
            }

            NbdPendingRequest? request = _stuck;
            _stuck = null;
            return request;
        }
    }
}
