using System.Net.Sockets;

namespace Monitor.Qmp;

/// <summary>One listening socket of a monitor: every connection becomes a session, several at once.</summary>
public sealed class QmpListener : IDisposable
{
    private const int Backlog = 64;

    private readonly QmpServer _server;

    private readonly Socket _socket;

    private readonly string? _path;

    private volatile bool _isDisposed;

    private QmpListener(QmpServer server, Socket socket, string? path, string monitorId)
    {
        _server = server;
        _socket = socket;
        _path = path;
        MonitorId = monitorId;
        new Thread(Accept) { IsBackground = true, Name = $"qmp listen {monitorId}" }.Start();
    }

    /// <summary>The monitor's id.</summary>
    public string MonitorId { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        _socket.Dispose();
        if (_path is not null)
        {
            File.Delete(_path);
        }
    }

    /// <summary>Listens on a UNIX socket that only our own user may connect to.</summary>
    /// <param name="server">Takes the sessions.</param>
    /// <param name="path">The socket file; a stale one is replaced.</param>
    /// <param name="monitorId">The monitor's id.</param>
    /// <exception cref="QmpException">The socket cannot be made.</exception>
    internal static QmpListener OnUnixSocket(QmpServer server, string path, string monitorId)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            Bind(socket, path);
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            socket.Listen(Backlog);
            return new QmpListener(server, socket, path, monitorId);
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            socket.Dispose();
            throw new QmpException($"Failed to bind socket to {path}: {e.Message}");
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static void Bind(Socket socket, string path)
    {
        if (System.Text.Encoding.UTF8.GetByteCount(path) > 107)
        {
            throw new QmpException($"UNIX socket path '{path}' is too long");
        }

        var endPoint = new UnixDomainSocketEndPoint(path);
        if (IsStaleSocket(path, endPoint))
        {
            File.Delete(path);
        }

        socket.Bind(endPoint);
    }

    private static bool IsStaleSocket(string path, UnixDomainSocketEndPoint endPoint)
    {
        var file = new FileInfo(path);
        if (!file.Exists || file.Length > 0)
        {
            return false;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(endPoint);
            return false;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            return true;
        }
    }

    private void Accept()
    {
        while (!_isDisposed)
        {
            try
            {
                _server.StartSession(_socket.Accept(), MonitorId);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!_isDisposed)
                {
                    DaemonLog.Warn("Qmp", $"monitor '{MonitorId}' cannot accept: {e.Message}");
                    Thread.Sleep(TimeSpan.FromMilliseconds(100));
                }
            }
        }
    }
}
