using System.Net.Sockets;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Exports;

/// <summary>Accepts clients on one listening socket, with a thread of its own.</summary>
internal sealed class NbdListener(NbdServer server, Listener listener)
{
    /// <summary>Wait after the system could not give a descriptor.</summary>
    private const int RetryMilliseconds = 100;

    private readonly object _gate = new();
    private readonly string? _path = (listener.LocalEndPoint as UnixDomainSocketEndPoint)?.ToString();
    private bool _stopped;

    /// <summary>Starts accepting.</summary>
    public void Start() => new Thread(Run) { IsBackground = true, Name = "nbd-accept" }.Start();

    /// <summary>Stops accepting and removes the socket's file.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            System.Threading.Monitor.Pulse(_gate);
        }

        listener.Dispose();
        if (_path is { Length: > 0 } && _path[0] != '@')
        {
            ListeningSockets.RemoveFile(_path);
        }
    }

    private void Run()
    {
        while (server.WaitForRoom())
        {
            try
            {
                if (listener.Accept() is { } client)
                {
                    server.Serve(client);
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (!WaitToRetry(e))
                {
                    return;
                }
            }
        }
    }

    private bool WaitToRetry(Exception failure)
    {
        lock (_gate)
        {
            if (!_stopped)
            {
                DaemonLog.Warn("Nbd", $"cannot accept a client: {failure.Message}");
                System.Threading.Monitor.Wait(_gate, RetryMilliseconds);
            }

            return !_stopped;
        }
    }
}
