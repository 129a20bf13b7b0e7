using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Storage.Exports;

/// <summary>Receives many requests with one call and cuts them apart.</summary>
/// <remarks>
/// <para>The idea: one buffer takes whatever the client sent; requests and small payloads are used where they lie. A payload above
/// <see cref="LargePayloadBytes"/> goes into an aligned buffer of its own; while such writes follow one another only the 28 bytes
/// of the next header are received first, so that no payload is copied. Before it is written, what the client has sent behind it is
/// taken off the socket (<see cref="NbdReadAhead"/>), so that the client goes on.</para>
/// <para>Example: 64 writes of 4 KiB arrive as 264 KiB; the first call takes 256 KiB, 63 requests are served in place, the 64th is
/// moved to the front (under 4 KiB copied) and completed by the next call.</para>
/// <para>A write that is still on its way holds the buffer; then the rest moves to a fresh one.</para>
/// </remarks>
internal sealed class NbdRequestReader(NbdSocket socket) : IDisposable
{
    /// <summary>Payloads above this get a buffer of their own.</summary>
    public const int LargePayloadBytes = 32 << 10;

    private const int CapacityBytes = 256 << 10;

    private readonly ReceivePolling _polling = new();
    private int _start;
    private int _end;
    private int _needed = NbdRequestHeader.Size;
    private bool _headersOnly;
    private NbdReadAhead? _ahead;

    /// <summary>Where small payloads lie; a request that is not done when it returns must retain it.</summary>
    public NbdBuffer Buffer { get; private set; } = NbdBuffer.Rent(CapacityBytes);

    /// <summary>Takes the next request off what was received.</summary>
    /// <param name="header">The request.</param>
    /// <param name="payload">What it writes, if it is small.</param>
    public NbdReadResult TryRead(out NbdRequestHeader header, out ReadOnlyMemory<byte> payload)
    {
        header = default;
        payload = default;
        int available = _end - _start;
        if (available < NbdRequestHeader.Size)
        {
            _needed = NbdRequestHeader.Size;
            return NbdReadResult.Incomplete;
        }

        if (!NbdRequestHeader.TryRead(Buffer.Span(_start, NbdRequestHeader.Size), out header))
        {
            return NbdReadResult.Garbage;
        }

        int small = header.Command == NbdCommand.Write && header.Length <= LargePayloadBytes ? (int)header.Length : 0;
        if (available < NbdRequestHeader.Size + small)
        {
            _needed = NbdRequestHeader.Size + small;
            return NbdReadResult.Incomplete;
        }

        if (small != 0)
        {
            payload = Buffer.Slice(_start + NbdRequestHeader.Size, small);
        }

        _start += NbdRequestHeader.Size + small;
        _headersOnly = false;
        return NbdReadResult.Request;
    }

    /// <summary>Receives more, waiting for it.</summary>
    /// <returns>Whether the connection goes on.</returns>
    public bool Fill()
    {
        MakeRoom();
        int room = _headersOnly && _end == _start ? NbdRequestHeader.Size : Buffer.Capacity - _end;
        int received = Receive(Buffer.Span(_end, room));
        _end += received;
        return received > 0;
    }

    /// <summary>Receives the payload of a large write whose header was just read.</summary>
    /// <param name="destination">As long as the payload.</param>
    /// <returns>Whether the connection goes on.</returns>
    public bool ReceivePayload(Span<byte> destination)
    {
        int here = Math.Min(_end - _start, destination.Length);
        Buffer.Span(_start, here).CopyTo(destination);
        _start += here;
        _headersOnly = true;
        for (destination = destination[here..]; !destination.IsEmpty; destination = destination[here..])
        {
            here = Receive(destination);
            if (here == 0)
            {
                return false;
            }
        }

        TakeAhead();
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ahead?.Dispose();
        Buffer.Release();
    }

    /// <summary>Lets a client that sent as much as its socket holds go on while the payload is written.</summary>
    private void TakeAhead()
    {
        if (!socket.IsLocal || _ahead is { Count: > 0 })
        {
            return;
        }

        _ahead ??= NbdReadAhead.TryCreate();
        _ahead?.Take(socket);
    }

    private int Receive(Span<byte> room)
    {
        if (_ahead is { Count: > 0 })
        {
            return _ahead.Read(room);
        }

        _polling.Begin();
        int received = _polling.IsLooking ? socket.TryReceive(room) : socket.Receive(room);
        while (received < 0)
        {
            _polling.LookAgain();
            received = _polling.IsLooking ? socket.TryReceive(room) : socket.Receive(room);
        }

        _polling.End();
        return received;
    }

    private void MakeRoom()
    {
        int rest = _end - _start;
        bool shared = Buffer.IsShared;
        if (shared ? _start + _needed <= Buffer.Capacity && Buffer.Capacity - _end >= LargePayloadBytes : _start == 0)
        {
            return;
        }

        NbdBuffer target = shared ? NbdBuffer.Rent(CapacityBytes) : Buffer;
        Buffer.Span(_start, rest).CopyTo(target.Span(0, rest));
        if (shared)
        {
            Buffer.Release();
            Buffer = target;
        }

        (_start, _end) = (0, rest);
    }
}
