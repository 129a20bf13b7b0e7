using Gate = System.Threading.Monitor;

namespace Monitor.Qmp;

/// <summary>What one session has yet to send: replies and events in order.</summary>
/// <remarks>
/// <para>Whoever appends also sends, without waiting; only when the client does not read fast enough a thread of the session's own takes
/// over until it has caught up. So a slow reader delays nobody. The session's own thread stops reading requests while more than
/// <see cref="PauseBytes"/> are unsent, and past <see cref="MaximumUnsentBytes"/> the connection is ended.</para>
/// <para>Between <see cref="BeginBatch"/> and <see cref="EndBatch"/> bytes are only gathered: all replies to what one receive brought
/// leave in one send.</para>
/// </remarks>
/// <param name="transport">Takes the bytes.</param>
/// <param name="isPretty">Whether messages are indented over several lines.</param>
internal sealed class QmpOutput(QmpTransport transport, bool isPretty)
{
    /// <summary>Unsent bytes at which the session is closed.</summary>
    public const int MaximumUnsentBytes = 64 << 20;

    /// <summary>Unsent bytes at which the session's requests are no longer read.</summary>
    public const int PauseBytes = 16 << 20;

    private const int BatchBytes = 64 << 10;

    private const int RetainedBytes = 1 << 20;

    private readonly object _gate = new();

    private readonly QmpPrettyPrinter? _printer = isPretty ? new() : null;

    private byte[] _bytes = new byte[4096];

    private int _start;

    private int _end;

    private bool _isBatching;

    private bool _isClosed;

    private bool _isEnding;

    private bool _isWriterBusy;

    private Thread? _writer;

    /// <summary>The connection was ended because the client left too much unread.</summary>
    public bool IsOverrun { get; private set; }

    private int Unsent => _end - _start;

    /// <summary>Appends one whole message; from any thread, never waits for the client.</summary>
    public void Append(ReadOnlySpan<byte> message)
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            ReadOnlySpan<byte> bytes = _printer is null ? message : _printer.Format(message);
            if (Unsent + (long)bytes.Length > MaximumUnsentBytes)
            {
                IsOverrun = true;
                EndConnection();
                return;
            }

            MakeRoom(bytes.Length);
            bytes.CopyTo(_bytes.AsSpan(_end));
            _end += bytes.Length;
            if (_isBatching && Unsent >= BatchBytes)
            {
                SendWithoutWaiting();
            }
        }
    }

    /// <summary>Sends what has been appended, unless a batch is being gathered.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            if (!_isBatching)
            {
                SendWithoutWaiting();
            }
        }
    }

    /// <summary>From now on appended bytes are gathered.</summary>
    public void BeginBatch()
    {
        lock (_gate)
        {
            _isBatching = true;
        }
    }

    /// <summary>Sends what was gathered.</summary>
    public void EndBatch()
    {
        lock (_gate)
        {
            _isBatching = false;
            SendWithoutWaiting();
        }
    }

    /// <summary>Waits until the client has read enough for more requests to be taken; the session's own thread only.</summary>
    public void WaitForReader()
    {
        lock (_gate)
        {
            while (!_isClosed && !_isEnding && Unsent > PauseBytes)
            {
                Gate.Wait(_gate);
            }
        }
    }

    /// <summary>The session is to end: its thread waits for the client no more, but in <see cref="Close"/>.</summary>
    public void EndWaiting()
    {
        lock (_gate)
        {
            _isEnding = true;
            Gate.PulseAll(_gate);
        }
    }

    /// <summary>Sends the rest, waiting for the client at most for a time, then ends the connection. Nothing uses the transport afterwards.</summary>
    /// <param name="patience">How long to wait.</param>
    public void Close(TimeSpan patience)
    {
        lock (_gate)
        {
            _isBatching = false;
            SendWithoutWaiting();
            long deadline = Environment.TickCount64 + (long)patience.TotalMilliseconds;
            long left = (long)patience.TotalMilliseconds;
            while (!_isClosed && Unsent > 0 && left > 0)
            {
                Gate.Wait(_gate, (int)left);
                left = deadline - Environment.TickCount64;
            }

            EndConnection();
        }

        _writer?.Join(patience);
    }

    private void SendWithoutWaiting()
    {
        while (!_isClosed && !_isWriterBusy && Unsent > 0)
        {
            int sent = transport.TrySend(_bytes.AsSpan(_start, Unsent));
            if (sent > 0)
            {
                Consume(sent);
            }
            else if (sent == 0)
            {
                StartWriter();
            }
            else
            {
                EndConnection();
            }
        }
    }

    private void EndConnection()
    {
        if (!_isClosed)
        {
            _isClosed = true;
            transport.End();
            Gate.PulseAll(_gate);
        }
    }

    private void StartWriter()
    {
        _isWriterBusy = true;
        Gate.PulseAll(_gate);
        _writer ??= ClientThread.TryStart("qmp writer", Write);
        if (_writer is null)
        {
            EndConnection();
        }
    }

    private void Write()
    {
        byte[] chunk = new byte[BatchBytes];
        for (int length = TakeChunk(chunk); length > 0; length = TakeChunk(chunk))
        {
            int sent = transport.Send(chunk.AsSpan(0, length));
            lock (_gate)
            {
                if (sent < 0)
                {
                    EndConnection();
                }
                else
                {
                    Consume(sent);
                    Gate.PulseAll(_gate);
                }
            }
        }
    }

    private int TakeChunk(byte[] chunk)
    {
        lock (_gate)
        {
            while (!_isClosed && (Unsent == 0 || !_isWriterBusy))
            {
                _isWriterBusy = false;
                Gate.Wait(_gate);
            }

            int length = _isClosed ? 0 : Math.Min(Unsent, chunk.Length);
            _bytes.AsSpan(_start, length).CopyTo(chunk);
            return length;
        }
    }

    private void Consume(int sent)
    {
        _start += sent;
        if (Unsent > 0)
        {
            return;
        }

        _start = 0;
        _end = 0;
        if (_bytes.Length > RetainedBytes)
        {
            _bytes = new byte[4096];
        }
    }

    private void MakeRoom(int length)
    {
        if (_bytes.Length - _end >= length)
        {
            return;
        }

        byte[] target = _bytes.Length / 2 >= Unsent + length ? _bytes : new byte[Math.Max(_bytes.Length * 2, Unsent + length)];
        Buffer.BlockCopy(_bytes, _start, target, 0, Unsent);
        _end = Unsent;
        _start = 0;
        _bytes = target;
    }
}
