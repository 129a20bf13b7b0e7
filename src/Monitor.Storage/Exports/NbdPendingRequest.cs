using System.Runtime.CompilerServices;
using Monitor.Block;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Storage.Exports;

/// <summary>A request that was not done at once, or whose reply has memory of its own. Reused; see <see cref="NbdPendingRequests"/>.</summary>
internal sealed class NbdPendingRequest
{
    private readonly NbdPendingRequests _owner;
    private readonly Action _completed;
    private readonly byte[] _head = new byte[256];
    private readonly List<ReadOnlyMemory<byte>> _parts = [];
    private ConfiguredValueTaskAwaitable.ConfiguredValueTaskAwaiter _awaiter;
    private NbdRequestHeader _header;
    private NbdBuffer? _buffer;
    private int _part;
    private int _sent;

    /// <summary>Made by the pool only.</summary>
    public NbdPendingRequest(NbdPendingRequests owner)
    {
        _owner = owner;
        _completed = Complete;
    }

    /// <summary>What was asked for.</summary>
    public NbdRequestHeader Header => _header;

    /// <summary>Bytes counted for it while it is pending.</summary>
    public int Bytes { get; set; }

    /// <summary>Takes the request on, and one reference to the buffer that it reads from or writes to.</summary>
    public void Begin(in NbdRequestHeader header, NbdBuffer? buffer)
    {
        _header = header;
        _buffer = buffer;
    }

    /// <summary>Rents the memory of the reply.</summary>
    public NbdBuffer RentBuffer(int bytes) => _buffer = NbdBuffer.Rent(bytes);

    /// <summary>Adds a piece of the reply.</summary>
    public void AddPart(ReadOnlyMemory<byte> part) => _parts.Add(part);

    /// <summary>Sees the work to its end on whatever thread that comes; then the reply goes out.</summary>
    public void Await(ValueTask work)
    {
        _awaiter = work.ConfigureAwait(false).GetAwaiter();
        _awaiter.UnsafeOnCompleted(_completed);
    }

    /// <summary>Takes the result of work that is done and makes the reply of it.</summary>
    public void Finish(ValueTask work)
    {
        _awaiter = work.ConfigureAwait(false).GetAwaiter();
        TakeResult();
    }

    /// <summary>Sends the reply or what is left of it.</summary>
    /// <param name="socket">Where to.</param>
    /// <param name="wait">Whether to wait for room.</param>
    /// <returns>False when there is no room now; a lost connection counts as sent.</returns>
    public bool TrySend(NbdSocket socket, bool wait)
    {
        while (_part < _parts.Count)
        {
            ReadOnlySpan<byte> rest = _parts[_part].Span[_sent..];
            int sent = socket.TrySend(rest, wait);
            if (sent < 0)
            {
                return true;
            }

            if (sent == 0)
            {
                return false;
            }

            _sent += sent;
            if (sent == rest.Length)
            {
                (_part, _sent) = (_part + 1, 0);
            }
        }

        return true;
    }

    /// <summary>Gives the memory back.</summary>
    public void Clear()
    {
        _buffer?.Release();
        _buffer = null;
        _awaiter = default;
        _parts.Clear();
        (_part, _sent) = (0, 0);
    }

    private void Complete()
    {
        TakeResult();
        _owner.Sender.Deliver(this, wait: false);
    }

    private void TakeResult()
    {
        try
        {
            _awaiter.GetResult();
            if (_parts.Count == 0)
            {
                AddSimpleReply(NbdError.None);
            }
        }
        catch (BlockIoException e)
        {
            ReplyError(NbdErrorMapping.FromErrno(e.Errno));
        }
        catch (Exception e)
        {
            DaemonLog.Error("Nbd", $"a request failed in a way it should not: {e}");
            ReplyError(NbdError.InputOutput);
        }
    }

    private void ReplyError(NbdError error)
    {
        _parts.Clear();
        if (!_owner.StructuredReplies)
        {
            AddSimpleReply(error);
            return;
        }

        var chunk = new NbdErrorChunk(_header.Cookie, error, NbdFailure.Describe(_header.Command));
        chunk.Write(_head);
        _parts.Add(_head.AsMemory(0, chunk.Size));
    }

    private void AddSimpleReply(NbdError error)
    {
        new NbdSimpleReply(error, _header.Cookie).Write(_head);
        _parts.Add(_head.AsMemory(0, NbdSimpleReply.Size));
    }
}
