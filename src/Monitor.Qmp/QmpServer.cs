using System.Net.Sockets;

namespace Monitor.Qmp;

/// <summary>The monitors of the daemon: their listening sockets and the sessions of their clients.</summary>
/// <param name="dispatcher">Runs the commands of every session.</param>
/// <param name="events">Reaches every session.</param>
public sealed class QmpServer(QmpDispatcher dispatcher, QmpEventBus events)
{
    /// <summary>Sessions that may be open at once; a further client is turned away.</summary>
    public const int MaximumSessions = 512;

    private readonly object _gate = new();

    private readonly List<QmpListener> _listeners = [];

    private readonly HashSet<QmpSession> _sessions = [];

    private TaskCompletionSource? _lastSessionEnded;

    private int _sessionCount;

    /// <summary>Adds a monitor that listens on a UNIX socket.</summary>
    /// <param name="socketPath">The socket file, at most 107 bytes.</param>
    /// <param name="monitorId">The monitor's id.</param>
    /// <returns>Disposing it closes and removes the socket and leaves its sessions.</returns>
    /// <exception cref="QmpException">The socket cannot be made.</exception>
    public QmpListener Listen(string socketPath, string monitorId)
    {
        var listener = QmpListener.OnUnixSocket(this, socketPath, monitorId);
        lock (_gate)
        {
            _listeners.Add(listener);
        }

        return listener;
    }

    /// <summary>Closes the listening sockets, lets every session answer what it has received and send what it has to, then closes it.</summary>
    /// <returns>Completes when no session is left; a client that does not read is waited for a few seconds only.</returns>
    public Task StopAsync()
    {
        QmpSession[] sessions;
        lock (_gate)
        {
            _lastSessionEnded ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _listeners.ForEach(listener => listener.Dispose());
            _listeners.Clear();
            sessions = [.. _sessions];
            if (sessions.Length == 0)
            {
                _lastSessionEnded.TrySetResult();
            }
        }

        foreach (var session in sessions)
        {
            session.Stop();
        }

        return _lastSessionEnded.Task;
    }

    /// <summary>Serves a connection on a thread of its own.</summary>
    internal void StartSession(Socket socket, string monitorId)
    {
        QmpSession session;
        lock (_gate)
        {
            if (_lastSessionEnded is not null || _sessions.Count >= MaximumSessions)
            {
                DaemonLog.Warn("Qmp", $"a client of monitor '{monitorId}' was turned away: {_sessions.Count} sessions are open");
                socket.Dispose();
                return;
            }

            session = new QmpSession(new QmpTransport(socket), dispatcher, events, monitorId, ++_sessionCount);
            _sessions.Add(session);
        }

        new Thread(() => RunSession(session)) { IsBackground = true, Name = $"qmp session {monitorId}" }.Start();
    }

    private void RunSession(QmpSession session)
    {
        session.Run();
        lock (_gate)
        {
            _sessions.Remove(session);
            if (_sessions.Count == 0)
            {
                _lastSessionEnded?.TrySetResult();
            }
        }
    }
}
