namespace Monitor.Qmp;

/// <summary>A character device: where the bytes of a monitor come from and go to.</summary>
/// <remarks>A device makes a <see cref="QmpTransport"/> of each connection and hands it to its one user; without a user it keeps what it
/// has opened. Disposing it closes what no session holds: sessions own their transports.</remarks>
/// <param name="id">Its name.</param>
/// <param name="log">Gets a copy of what is written to it, if any.</param>
public abstract class Chardev(string id, FileStream? log) : IDisposable
{
    /// <summary>Its name.</summary>
    public string Id { get; } = id;

    /// <summary>What it is, as <c>query-chardev</c> says it.</summary>
    public abstract string FileName { get; }

    /// <summary>Its kind, the word that <c>chardev-add</c> knows it by.</summary>
    public abstract string Kind { get; }

    /// <summary>Where a socket listens or connects to; <see langword="null"/> for other kinds.</summary>
    public virtual SocketAddress? Address => null;

    /// <summary>Whether a socket has a connection.</summary>
    public virtual bool IsConnected => false;

    /// <summary>Whether it has a user.</summary>
    public bool IsInUse { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Close();
        if (!IsInUse && log is not null)
        {
            DescriptorSets.Release(log.SafeFileHandle);
            log.Dispose();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Takes the device into use.</summary>
    /// <param name="connected">Gets every connection, from any thread, and owns it.</param>
    /// <exception cref="QmpException">It has a user.</exception>
    internal void Attach(Action<QmpTransport> connected)
    {
        if (IsInUse)
        {
            throw new QmpException($"Device '{Id}' is in use");
        }

        IsInUse = true;
        Start(transport =>
        {
            transport.Log = log;
            connected(transport);
        });
    }

    /// <summary>Begins to hand out connections.</summary>
    private protected abstract void Start(Action<QmpTransport> connected);

    /// <summary>Closes what no session holds.</summary>
    private protected abstract void Close();
}
