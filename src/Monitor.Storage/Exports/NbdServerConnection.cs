using System.Net.Sockets;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Exports;

/// <summary>One client of the server, with a thread of its own from the greeting to the end.</summary>
internal sealed class NbdServerConnection : IDisposable
{
    private readonly NbdServer _server;
    private readonly NbdSocket _socket;
    private NbdExport? _export;

    /// <summary>Makes it for an accepted socket, which it owns.</summary>
    public NbdServerConnection(NbdServer server, Socket socket)
    {
        _server = server;
        _socket = new NbdSocket(socket);
    }

    /// <summary>Whether the client has left, which the connection's thread may not know yet.</summary>
    public bool HasHungUp => _socket.HasHungUp;

    /// <summary>Starts serving, or ends the connection when the system has no thread for it.</summary>
    public void Start()
    {
        if (ClientThread.TryStart("nbd", Run) is null)
        {
            Dispose();
            _server.Forget(this);
        }
    }

    /// <summary>Ends the connection from any thread; requests on their way finish without a reply.</summary>
    public void Drop() => _socket.Shutdown();

    /// <inheritdoc/>
    public void Dispose() => _socket.Dispose();

    /// <summary>Takes note of the export that counts this connection among its clients.</summary>
    internal void Joined(NbdExport export) => _export = export;

    private void Run()
    {
        string reason = "negotiation failed";
        try
        {
            reason = Serve() ?? reason;
        }
        catch (Exception e)
        {
            DaemonLog.Error("Nbd", $"connection failed in a way it should not: {e}");
        }
        finally
        {
            Dispose();
            DaemonLog.Info("Nbd", _export is null ? $"client left: {reason}" : $"client left export '{_export.Name}': {reason}");
            _export?.Detach(this);
            _server.Forget(this);
        }
    }

    /// <summary>Serves the client to its end.</summary>
    /// <returns>Why it ended; null when it never chose an export.</returns>
    private string? Serve()
    {
        NbdNegotiated? negotiated;
        using (_server.Time.CreateTimer(_ => Drop(), null, _server.HandshakeLimit, Timeout.InfiniteTimeSpan))
        {
            negotiated = new NbdServerHandshake(_socket, _server, this).Run();
        }

        if (negotiated is null)
        {
            return null;
        }

        using var transmission = new NbdTransmission(_socket, negotiated);
        return transmission.Run();
    }
}
