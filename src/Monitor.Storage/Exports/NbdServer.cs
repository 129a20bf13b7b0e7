using System.Net.Sockets;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Exports;

/// <summary>The NBD server: where it listens, what it offers, who is connected.</summary>
/// <remarks>Started, stopped and changed by turns; looked up by the connections' threads. Its lock is a leaf.</remarks>
public sealed class NbdServer
{
    /// <summary>Seconds that a client may take to choose an export when nothing else is said.</summary>
    public const uint DefaultHandshakeSeconds = 10;

    private readonly object _gate = new();
    private readonly List<NbdListener> _listeners = [];
    private readonly List<NbdExport> _exports = [];
    private readonly HashSet<NbdServerConnection> _connections = [];
    private TaskCompletionSource? _stopped;

    private NbdServer(uint maxConnections, TimeProvider time)
    {
        MaxConnections = maxConnections;
        Time = time;
    }

    /// <summary>Connections at once; further clients wait to be accepted. 0 is no limit.</summary>
    public uint MaxConnections { get; }

    /// <summary>Connections now, those in negotiation included.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (_gate)
            {
                return _connections.Count;
            }
        }
    }

    /// <summary>The exports on offer, the newest last.</summary>
    public IReadOnlyList<NbdExport> Exports
    {
        get
        {
            lock (_gate)
            {
                return [.. _exports];
            }
        }
    }

    internal TimeProvider Time { get; }

    /// <summary>How long a client may take to choose an export.</summary>
    internal TimeSpan HandshakeLimit { get; private init; }

    /// <summary>Starts a server.</summary>
    /// <param name="address">Where to listen.</param>
    /// <param name="maxConnections">Connections at once; 0 is no limit.</param>
    /// <param name="time">Times negotiations; the system's when absent.</param>
    /// <param name="handshakeSeconds">Seconds that a client may take to choose an export; 0 is no limit.</param>
    /// <exception cref="QmpException">The address cannot be listened on.</exception>
    public static async Task<NbdServer> StartAsync(
        SocketAddress address, uint maxConnections = 0, TimeProvider? time = null, uint handshakeSeconds = DefaultHandshakeSeconds)
    {
        var server = new NbdServer(maxConnections, time ?? TimeProvider.System)
        {
            HandshakeLimit = handshakeSeconds is 0 or > int.MaxValue / 1000 ? Timeout.InfiniteTimeSpan : TimeSpan.FromSeconds(handshakeSeconds),
        };
        foreach (Socket socket in await ListeningSockets.OpenAsync(address, isOwnerOnly: false))
        {
            server._listeners.Add(new NbdListener(server, new Listener(socket)));
        }

        server._listeners.ForEach(listener => listener.Start());
        DaemonLog.Info("Nbd", $"server listens on {ListeningSockets.Describe(address)}");
        return server;
    }

    /// <summary>The export of that name; null when there is none.</summary>
    public NbdExport? Find(string name)
    {
        lock (_gate)
        {
            return _exports.Find(export => export.Name == name);
        }
    }

    /// <summary>Offers an export.</summary>
    /// <exception cref="QmpException">The name is taken.</exception>
    public void Add(NbdExport export)
    {
        lock (_gate)
        {
            if (_exports.Exists(other => other.Name == export.Name))
            {
                throw new QmpException($"NBD server already has export named '{export.Name}'");
            }

            export.Server = this;
            _exports.Add(export);
        }

        DaemonLog.Info("Nbd", $"export '{export.Name}' of node {export.Backend.Node.NodeName} added");
    }

    /// <summary>Stops listening, removes every export, drops every client at once and waits for the requests on their way. A turn.</summary>
    public async Task StopAsync()
    {
        Task stopped = Close();
        foreach (NbdExport export in Exports)
        {
            await export.RemoveAsync(BlockExportRemoveMode.Hard);
        }

        await stopped;
        DaemonLog.Info("Nbd", "server stopped");
    }

    /// <summary>Makes a connection a client of an export.</summary>
    internal NbdExport? Attach(string name, NbdServerConnection connection) =>
        Find(name) is { } export && export.TryAttach(connection) ? export : null;

    /// <summary>Takes an export off the offer.</summary>
    internal void Withdraw(NbdExport export)
    {
        lock (_gate)
        {
            _exports.Remove(export);
        }
    }

    /// <summary>Waits until one more client may be served.</summary>
    /// <returns>False when the server is stopping.</returns>
    internal bool WaitForRoom()
    {
        lock (_gate)
        {
            while (_stopped is null && MaxConnections != 0 && _connections.Count >= MaxConnections)
            {
                System.Threading.Monitor.Wait(_gate);
            }

            return _stopped is null;
        }
    }

    /// <summary>Serves an accepted client.</summary>
    internal void Serve(Socket socket)
    {
        var connection = new NbdServerConnection(this, socket);
        lock (_gate)
        {
            if (_stopped is not null)
            {
                socket.Dispose();
                return;
            }

            _connections.Add(connection);
        }

        connection.Start();
    }

    /// <summary>Forgets a connection that ended.</summary>
    internal void Forget(NbdServerConnection connection)
    {
        lock (_gate)
        {
            _connections.Remove(connection);
            System.Threading.Monitor.PulseAll(_gate);
            if (_connections.Count == 0)
            {
                _stopped?.TrySetResult();
            }
        }
    }

    private Task Close()
    {
        lock (_gate)
        {
            if (_stopped is null)
            {
                _stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                System.Threading.Monitor.PulseAll(_gate);
            }

            if (_connections.Count == 0)
            {
                _stopped.TrySetResult();
            }

            _listeners.ForEach(listener => listener.Stop());
            _listeners.Clear();
            foreach (NbdServerConnection connection in _connections)
            {
                connection.Drop();
            }

            return _stopped.Task;
        }
    }
}
