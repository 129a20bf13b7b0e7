namespace Monitor.Storage.Exports;

/// <summary>Gathers the replies of one round so that one call sends them.</summary>
/// <remarks>
/// A read puts its bytes here at once, behind room for its header. If it is not done when it returns, its segment is detached: what
/// was gathered before is sent, the segment stays the request's, and the batch goes on behind it.
/// </remarks>
internal sealed class NbdReplyBatch(NbdSender sender) : IDisposable
{
    private const int CapacityBytes = 256 << 10;

    private NbdBuffer _buffer = NbdBuffer.Rent(CapacityBytes);
    private int _start;
    private int _end;

    /// <summary>Makes room behind what was gathered, sending that if there is none.</summary>
    /// <param name="length">Bytes, at most the half of the batch.</param>
    /// <returns>The segment; it joins the batch with <see cref="Add"/>.</returns>
    public Memory<byte> Reserve(int length)
    {
        EnsureRoom(length);
        return _buffer.Slice(_end, length);
    }

    /// <summary>Makes room like <see cref="Reserve"/>, for bytes that are there at once.</summary>
    public Span<byte> ReserveSpan(int length)
    {
        EnsureRoom(length);
        return _buffer.Span(_end, length);
    }

    /// <summary>Adds the first bytes of what was reserved last.</summary>
    public void Add(int length) => _end += length;

    /// <summary>Leaves what was reserved last to a request, with a reference to its buffer.</summary>
    public NbdBuffer Detach(int length)
    {
        Send();
        _buffer.Retain();
        _end += length;
        _start = _end;
        return _buffer;
    }

    /// <summary>Sends what was gathered.</summary>
    public void Send()
    {
        if (_end > _start)
        {
            sender.Send(_buffer.Span(_start, _end - _start));
            _start = _end;
        }
    }

    /// <summary>Sends what was gathered and begins anew, before the thread waits for more requests.</summary>
    public void Flush()
    {
        Send();
        if (!_buffer.IsShared)
        {
            _start = _end = 0;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _buffer.Release();

    private void EnsureRoom(int length)
    {
        if (_buffer.Capacity - _end >= length)
        {
            return;
        }

        Send();
        if (_buffer.IsShared)
        {
            _buffer.Release();
            _buffer = NbdBuffer.Rent(CapacityBytes);
        }

        _start = _end = 0;
    }
}
