using System.Net.Sockets;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>A device that connects to somebody who listens; a lost connection is made anew when <c>reconnect</c> says so.</summary>
internal sealed class ClientSocketChardev : Chardev
{
    private const string Disconnected = "disconnected:";

    private readonly SocketAddress _address;

    private readonly TimeSpan _reconnectInterval;

    private readonly ManualResetEventSlim _closed = new();

    private readonly ManualResetEventSlim _lost = new();

    private Socket? _socket;

    private string _fileName;

    private ClientSocketChardev(string id, FileStream? log, SocketAddress address, TimeSpan reconnectInterval)
        : base(id, log)
    {
        _address = address;
        _reconnectInterval = reconnectInterval;
        _fileName = Disconnected + SocketName.OfAddress(address);
    }

    /// <inheritdoc/>
    public override string Kind => "socket";

    /// <inheritdoc/>
    public override SocketAddress Address => _address;

    /// <inheritdoc/>
    public override bool IsConnected => !_fileName.StartsWith(Disconnected, StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string FileName => _fileName;

    /// <summary>Connects, or when it reconnects leaves that to its user's time.</summary>
    /// <param name="id">The device's name.</param>
    /// <param name="log">Gets a copy of what is written to it, if any.</param>
    /// <param name="address">Where to.</param>
    /// <param name="reconnectInterval">How long to wait before the next attempt; zero for one attempt only.</param>
    /// <exception cref="QmpException">It cannot connect.</exception>
    public static async Task<ClientSocketChardev> OpenAsync(string id, FileStream? log, SocketAddress address, TimeSpan reconnectInterval)
    {
        var chardev = new ClientSocketChardev(id, log, address, reconnectInterval);
        if (reconnectInterval == TimeSpan.Zero)
        {
            chardev.Hold(await Task.Run(() => ConnectedSocket.Open(address)));
        }

        return chardev;
    }

    /// <inheritdoc/>
    private protected override void Start(Action<QmpTransport> connected) =>
        new Thread(() => KeepConnected(connected)) { IsBackground = true, Name = $"chardev {Id}" }.Start();

    /// <inheritdoc/>
    private protected override void Close()
    {
        _closed.Set();
        _lost.Set();
        Interlocked.Exchange(ref _socket, null)?.Dispose();
    }

    private void KeepConnected(Action<QmpTransport> connected)
    {
        do
        {
            if (_socket is null)
            {
                TryConnect();
            }

            if (Interlocked.Exchange(ref _socket, null) is { } socket)
            {
                _lost.Reset();
                connected(new SocketTransport(socket) { Ended = _lost.Set });
                _lost.Wait();
                _fileName = Disconnected + SocketName.OfAddress(_address);
            }
        }
        while (_reconnectInterval > TimeSpan.Zero && !_closed.Wait(_reconnectInterval));
    }

    private void TryConnect()
    {
        try
        {
            Hold(ConnectedSocket.Open(_address));
        }
        catch (QmpException e)
        {
            DaemonLog.Warn("Qmp", $"Unable to connect character device {Id}: {e.Message}");
        }
    }

    private void Hold(Socket socket)
    {
        try
        {
            _fileName = SocketName.OfConnection(socket, isServer: false);
            _socket = socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new QmpException($"Unable to query remote socket address: {SocketErrorText.Of(e)}");
        }
    }
}
