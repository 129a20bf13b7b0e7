namespace Monitor.Qmp;

/// <summary>The only place that knows what carries a session's bytes; made by a <see cref="Chardev"/>, owned by the session.</summary>
/// <remarks>Receiving blocks one thread, the session's own. Who sends must be able not to wait.</remarks>
internal abstract class QmpTransport : IDisposable
{
    private readonly Lock _gate = new();

    private bool _isClosed;

    /// <summary>Gets a copy of everything that is sent.</summary>
    public Stream? Log { get; set; }

    /// <summary>Called once when the session has let go of it.</summary>
    public Action? Ended { get; set; }

    /// <summary>The descriptors that came with what was received last.</summary>
    protected ReceivedDescriptors? Descriptors { get; set; }

    /// <summary>Whether who types there sees it without us: a terminal that echoes.</summary>
    public virtual bool EchoesInput => false;

    /// <summary>Waits for bytes.</summary>
    /// <returns>How many came; 0 when the peer or we ended the connection.</returns>
    public abstract int Receive(Span<byte> buffer);

    /// <summary>Takes the descriptors that came with what was received last; they belong to the end of it.</summary>
    public ReceivedDescriptors? TakeDescriptors()
    {
        ReceivedDescriptors? taken = Descriptors;
        Descriptors = null;
        return taken;
    }

    /// <summary>Sends what fits without waiting.</summary>
    /// <returns>How many bytes were taken; 0 when none fit; -1 when the connection is gone.</returns>
    public int TrySend(ReadOnlySpan<byte> bytes) => Record(bytes, SendCore(bytes, isWaiting: false));

    /// <summary>Sends at least one byte, waiting for the peer to read.</summary>
    /// <returns>How many bytes were taken; -1 when the connection is gone.</returns>
    public int Send(ReadOnlySpan<byte> bytes) => Record(bytes, SendCore(bytes, isWaiting: true));

    /// <summary>Lets <see cref="Receive"/> return what has come and then 0; sending goes on. Nothing when it is closed already.</summary>
    public void EndReceiving() => IfOpen(EndReceivingCore);

    /// <summary>Ends both directions and wakes whoever waits in a call. Nothing when it is closed already.</summary>
    public void End() => IfOpen(EndCore);

    /// <summary>Who is at the other end, for the log.</summary>
    public abstract string DescribePeer();

    /// <inheritdoc/>
    public void Dispose()
    {
        IfOpen(() =>
        {
            _isClosed = true;
            Close();
        });
        TakeDescriptors()?.Dispose();
        Ended?.Invoke();
    }

    /// <summary>Ends receiving on an open connection; see <see cref="EndReceiving"/>.</summary>
    protected abstract void EndReceivingCore();

    /// <summary>Ends an open connection; see <see cref="End"/>.</summary>
    protected abstract void EndCore();

    /// <summary>Sends; see <see cref="TrySend"/> and <see cref="Send"/>.</summary>
    protected abstract int SendCore(ReadOnlySpan<byte> bytes, bool isWaiting);

    /// <summary>Releases the connection.</summary>
    protected abstract void Close();

    /// <summary>The session's thread may close at the moment when another one ends it.</summary>
    private void IfOpen(Action act)
    {
        lock (_gate)
        {
            if (!_isClosed)
            {
                act();
            }
        }
    }

    private int Record(ReadOnlySpan<byte> bytes, int sent)
    {
        if (sent > 0 && Log is { } log)
        {
            Copy(bytes[..sent], log);
        }

        return sent;
    }

    /// <summary>The session goes on without its log when that cannot be written: a full disk must not end a monitor.</summary>
    private void Copy(ReadOnlySpan<byte> bytes, Stream log)
    {
        try
        {
            lock (log)
            {
                log.Write(bytes);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            DaemonLog.Warn("Qmp", $"the log of a character device ends: {e.Message}");
            Log = null;
        }
    }
}
