using System.Net.Sockets;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>A device that listens: every client that connects is a connection of its own, several at once.</summary>
internal sealed class ServerSocketChardev : Chardev
{
    private static readonly TimeSpan s_retryInterval = TimeSpan.FromMilliseconds(100);

    private readonly IReadOnlyList<Socket> _sockets;

    private readonly IReadOnlyList<Listener> _listeners;

    private readonly string _localName;

    private readonly string? _path;

    private Socket? _first;

    private string? _connectedName;

    private int _connections;

    private volatile bool _isClosed;

    private ServerSocketChardev(string id, FileStream? log, SocketAddress address, IReadOnlyList<Socket> sockets)
        : base(id, log)
    {
        _sockets = sockets;
        _listeners = [.. sockets.Select(socket => new Listener(socket))];
        Address = SocketName.RealAddress(sockets[0], address);
        _localName = SocketName.OfServer(sockets[0], Address);
        _path = $"{sockets[0].LocalEndPoint}" is ['/', ..] path ? path
            : Address is { Type: SocketAddressType.Unix, Unix: { Abstract: not true } unix } ? Path.GetFullPath(unix.Path)
            : null;
    }

    /// <inheritdoc/>
    public override string Kind => "socket";

    /// <inheritdoc/>
    public override SocketAddress Address { get; }

    /// <inheritdoc/>
    public override bool IsConnected => _first is not null || _connections > 0;

    /// <inheritdoc/>
    public override string FileName => IsConnected ? _connectedName ?? _localName : "disconnected:" + _localName;

    /// <summary>Listens.</summary>
    /// <param name="id">The device's name.</param>
    /// <param name="log">Gets a copy of what is written to it, if any.</param>
    /// <param name="address">Where.</param>
    /// <param name="isWaiting">Whether to wait for the first client.</param>
    /// <exception cref="QmpException">It cannot listen there.</exception>
    public static async Task<ServerSocketChardev> OpenAsync(string id, FileStream? log, SocketAddress address, bool isWaiting)
    {
        var chardev = new ServerSocketChardev(id, log, address, await ListeningSockets.OpenAsync(address, isOwnerOnly: true));
        if (isWaiting)
        {
            DaemonLog.Info("Qmp", $"chardev '{id}' waits for a client on {chardev._localName}");
            chardev._first = await Task.Run(chardev.AcceptFirst);
            chardev.NoteConnection(chardev._first);
        }

        return chardev;
    }

    /// <inheritdoc/>
    private protected override void Start(Action<QmpTransport> connected)
    {
        if (Interlocked.Exchange(ref _first, null) is { } first)
        {
            HandOut(first, connected);
        }

        foreach (Listener listener in _listeners)
        {
            new Thread(() => Accept(listener, connected)) { IsBackground = true, Name = $"chardev {Id}" }.Start();
        }
    }

    /// <inheritdoc/>
    private protected override void Close()
    {
        if (_isClosed)
        {
            return;
        }

        _isClosed = true;
        _first?.Dispose();
        foreach (Listener listener in _listeners)
        {
            listener.Dispose();
        }

        if (_path is not null)
        {
            ListeningSockets.RemoveFile(_path);
        }
    }

    private Socket AcceptFirst()
    {
        var ready = _sockets.ToList();
        Socket.Select(ready, null, null, Timeout.Infinite);
        return ListeningSockets.Accept(ready[0]) ?? AcceptFirst();
    }

    private void Accept(Listener listener, Action<QmpTransport> connected)
    {
        while (!_isClosed)
        {
            try
            {
                if (listener.Accept() is { } client)
                {
                    HandOut(client, connected);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_isClosed)
                {
                    DaemonLog.Warn("Qmp", $"chardev '{Id}' cannot accept: {e.Message}");
                    Thread.Sleep(s_retryInterval);
                }
            }
        }
    }

    private void HandOut(Socket socket, Action<QmpTransport> connected)
    {
        NoteConnection(socket);
        Interlocked.Increment(ref _connections);
        connected(new SocketTransport(socket) { Ended = () => Interlocked.Decrement(ref _connections) });
    }

    /// <summary>Of several clients the last one is shown.</summary>
    private void NoteConnection(Socket socket)
    {
        try
        {
            _connectedName = SocketName.OfConnection(socket, isServer: true);
        }
        catch (SocketException)
        {
            _connectedName = null;
        }
    }
}
