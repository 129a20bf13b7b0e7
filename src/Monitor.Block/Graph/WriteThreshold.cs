using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The wish for one event when a write to a node goes past an offset (<c>block-set-write-threshold</c>).</summary>
/// <param name="nodeName">The node.</param>
/// <param name="offset">The offset in bytes.</param>
/// <param name="events">Where the event goes.</param>
public sealed class WriteThreshold(string nodeName, ulong offset, IEventSink events)
{
    private int _crossed;

    /// <summary>The offset in bytes.</summary>
    public ulong Offset => offset;

    /// <summary>Whether the event was sent: there is no second one.</summary>
    public bool IsCrossed => Volatile.Read(ref _crossed) != 0;

    /// <summary>Takes note of a write that begins; from any thread.</summary>
    /// <param name="end">Where the write ends.</param>
    public void NoteWrite(long end)
    {
        if ((ulong)end > offset && !IsCrossed && Interlocked.Exchange(ref _crossed, 1) == 0)
        {
            events.BlockWriteThreshold(nodeName, (ulong)end - offset, offset);
        }
    }
}
