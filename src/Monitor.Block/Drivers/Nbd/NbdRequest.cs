using System.Threading.Tasks.Sources;
using Monitor.Nbd;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>One request on its way, in a slot that later requests use again; its cookie tells slot and use.</summary>
/// <remarks>
/// It ends when it is both sent and answered (a server may answer a write before it has read all of it, and the caller's memory is
/// read until it is sent). The part that comes second completes it.
/// </remarks>
internal sealed class NbdRequest(NbdConnection connection, int index) : IValueTaskSource<NbdAnswer>
{
    private const int IndexBits = 16;
    private const int Sent = 1;
    private const int Answered = 2;

    private ManualResetValueTaskSourceCore<NbdAnswer> _core;
    private ulong _uses;
    private int _progress;
    private NbdAnswer _answer;

    /// <summary>What goes over the wire before the payload.</summary>
    public NbdRequestHeader Header { get; private set; }

    /// <summary>The bytes of a write.</summary>
    public ReadOnlyMemory<byte> Payload { get; private set; }

    /// <summary>Where the bytes of a read go.</summary>
    public Memory<byte> Destination { get; private set; }

    /// <summary>Bytes of a read that have come.</summary>
    public int Received { get; set; }

    /// <summary>Whether its chunks did not come in order, so that what none has filled was zeroed.</summary>
    public bool IsScattered { get; set; }

    /// <summary>The first error that a chunk told; 0 if none did.</summary>
    public int Errno { get; set; }

    /// <summary>What a block status told first; of no length if nothing came yet.</summary>
    public NbdExtent Extent { get; set; }

    /// <summary>Whether nothing more may come for it.</summary>
    public bool IsAnswered => (Volatile.Read(ref _progress) & Answered) != 0;

    /// <summary>The caller's side.</summary>
    public ValueTask<NbdAnswer> Task => new(this, _core.Version);

    /// <summary>The slot that a cookie names.</summary>
    public static int IndexOf(ulong cookie) => (int)(cookie & ((1 << IndexBits) - 1));

    /// <summary>Takes the slot for another request.</summary>
    public void Begin(NbdCommand command, NbdCommandFlags flags, long offset, uint length, ReadOnlyMemory<byte> payload, Memory<byte> destination)
    {
        _core.Reset();
        _progress = 0;
        Header = new NbdRequestHeader(flags, command, (++_uses << IndexBits) | (uint)index, (ulong)offset, length);
        (Payload, Destination) = (payload, destination);
        (Received, IsScattered, Errno, Extent) = (0, false, 0, default);
    }

    /// <summary>Takes note that the last byte was handed to the system.</summary>
    public void NoteSent() => Note(Sent);

    /// <summary>Takes note of the whole answer.</summary>
    public void Answer(int errno)
    {
        _answer = new NbdAnswer(errno, Extent);
        Note(Answered);
    }

    /// <summary>Ends it without an answer; the connection is over and nobody sends any more.</summary>
    public void Lose() => _core.SetResult(new NbdAnswer(NbdAnswer.Lost));

    /// <inheritdoc/>
    NbdAnswer IValueTaskSource<NbdAnswer>.GetResult(short token)
    {
        NbdAnswer answer = _core.GetResult(token);
        (Payload, Destination) = (default, default);
        connection.Return(this);
        return answer;
    }

    /// <inheritdoc/>
    ValueTaskSourceStatus IValueTaskSource<NbdAnswer>.GetStatus(short token) => _core.GetStatus(token);

    /// <inheritdoc/>
    void IValueTaskSource<NbdAnswer>.OnCompleted(
        Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);

    private void Note(int part)
    {
        if ((Interlocked.Or(ref _progress, part) | part) == (Sent | Answered))
        {
            connection.Forget(this);
            _core.SetResult(_answer);
        }
    }
}
