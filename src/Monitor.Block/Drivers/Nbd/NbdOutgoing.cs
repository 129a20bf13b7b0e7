using Monitor.Block.Io;
using Monitor.Nbd;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>Sends requests whole and in order: one sender at a time, and no caller ever waits for the server to read.</summary>
/// <remarks>
/// Headers and small payloads are put together into one buffer, so that requests made at the same time go out in one call; a large
/// payload is sent from the caller's memory. Who finds nobody sending sends all that is queued; when the server does not keep up,
/// the rest goes to a thread made for that, once per connection. While answers are handed out (<see cref="Hold"/>), requests only queue.
/// </remarks>
internal sealed class NbdOutgoing(NbdSocket socket)
{
    private const int BufferBytes = 64 << 10;
    private const int LargePayloadBytes = 16 << 10;

    private readonly object _gate = new();
    private readonly Queue<NbdRequest> _queue = new();
    private readonly List<NbdRequest> _staged = [];
    private readonly IoBuffer _buffer = IoBufferPool.Rent(BufferBytes);
    private Thread? _thread;
    private ReadOnlyMemory<byte> _payload;
    private int _start;
    private int _end;
    private bool _busy;
    private bool _isLost;
    private bool _isStuck;
    private bool _stopped;

    /// <summary>Queues a request.</summary>
    /// <returns>Whether the caller must <see cref="Send"/>.</returns>
    public bool Enqueue(NbdRequest request)
    {
        lock (_gate)
        {
            _queue.Enqueue(request);
            return TryBegin();
        }
    }

    /// <summary>Sends what is queued, as long as the server takes it; for whom <see cref="Enqueue"/> or <see cref="Hold"/> told to.</summary>
    public void Send()
    {
        if (!SendQueued(wait: false))
        {
            HandOver();
        }
    }

    /// <summary>Lets requests queue until <see cref="Send"/>.</summary>
    /// <returns>Whether that is now the caller's to do; else somebody is sending anyway.</returns>
    public bool Hold()
    {
        lock (_gate)
        {
            return TryBegin();
        }
    }

    /// <summary>Tells the server that the connection ends, if nothing else is being sent.</summary>
    public void SendDisconnect()
    {
        if (!Hold())
        {
            return;
        }

        Span<byte> bytes = stackalloc byte[NbdRequestHeader.Size];
        new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Disconnect, 0, 0, 0).Write(bytes);
        socket.TrySend(bytes, wait: false);
        Send();
    }

    /// <summary>Waits until nobody sends and lets go of everything; the socket is shut down.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            System.Threading.Monitor.PulseAll(_gate);
            while (_busy)
            {
                System.Threading.Monitor.Wait(_gate);
            }

            _busy = true;
        }

        _buffer.Return();
    }

    private bool TryBegin()
    {
        bool begins = !_busy;
        _busy = true;
        return begins;
    }

    /// <summary>Sends until the queue is empty.</summary>
    /// <returns>False if there is no room and this thread may not wait.</returns>
    private bool SendQueued(bool wait)
    {
        do
        {
            if (!SendStaged(wait))
            {
                return false;
            }
        }
        while (StageNext());
        return true;
    }

    /// <summary>Puts the next requests together; lets go of the right to send if there are none.</summary>
    private bool StageNext()
    {
        (_start, _end, _payload) = (0, 0, default);
        lock (_gate)
        {
            while (_payload.IsEmpty && _queue.TryPeek(out NbdRequest? request) && TryStage(request))
            {
                _queue.Dequeue();
                _staged.Add(request);
            }

            if (_staged.Count > 0)
            {
                return true;
            }

            _busy = false;
            System.Threading.Monitor.PulseAll(_gate);
            return false;
        }
    }

    private bool TryStage(NbdRequest request)
    {
        bool isLarge = request.Payload.Length > LargePayloadBytes;
        int size = NbdRequestHeader.Size + (isLarge ? 0 : request.Payload.Length);
        if (_end + size > BufferBytes)
        {
            return false;
        }

        Span<byte> destination = _buffer.GetSpan().Slice(_end, size);
        request.Header.Write(destination);
        if (isLarge)
        {
            _payload = request.Payload;
        }
        else
        {
            request.Payload.Span.CopyTo(destination[NbdRequestHeader.Size..]);
        }

        _end += size;
        return true;
    }

    private bool SendStaged(bool wait)
    {
        while (_start < _end && !_isLost)
        {
            int sent = socket.TrySend(_buffer.GetSpan()[_start.._end], wait, more: !_payload.IsEmpty);
            if (sent == 0)
            {
                return false;
            }

            _isLost = sent < 0;
            _start += Math.Max(sent, 0);
        }

        while (!_payload.IsEmpty && !_isLost)
        {
            int sent = socket.TrySend(_payload.Span, wait);
            if (sent == 0)
            {
                return false;
            }

            _isLost = sent < 0;
            _payload = _payload[Math.Max(sent, 0)..];
        }

        if (!_isLost)
        {
            foreach (NbdRequest request in _staged)
            {
                request.NoteSent();
            }
        }

        _staged.Clear();
        return true;
    }

    private void HandOver()
    {
        lock (_gate)
        {
            _isStuck = true;
            System.Threading.Monitor.PulseAll(_gate);
            if (_thread is not null)
            {
                return;
            }

            _thread = new Thread(SendPatiently) { IsBackground = true, Name = "nbd-client-send" };
        }

        _thread.Start();
    }

    private void SendPatiently()
    {
        while (WaitForWork())
        {
            SendQueued(wait: true);
        }
    }

    private bool WaitForWork()
    {
        lock (_gate)
        {
            while (!_isStuck && !_stopped)
            {
                System.Threading.Monitor.Wait(_gate);
            }

            bool isStuck = _isStuck;
            _isStuck = false;
            return isStuck;
        }
    }
}
