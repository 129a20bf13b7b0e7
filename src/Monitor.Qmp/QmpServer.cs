namespace Monitor.Qmp;

/// <summary>The monitors of the daemon: their character devices and the sessions of their clients.</summary>
/// <param name="dispatcher">Runs the commands of every session.</param>
/// <param name="events">Reaches every session.</param>
public sealed class QmpServer(QmpDispatcher dispatcher, QmpEventBus events)
{
    /// <summary>Sessions that may be open at once; a further client is turned away.</summary>
    public const int MaximumSessions = 512;

    private readonly object _gate = new();

    private readonly List<Chardev> _chardevs = [];

    private readonly HashSet<IMonitorSession> _sessions = [];

    private TaskCompletionSource? _lastSessionEnded;

    private int _sessionCount;

    /// <summary>Adds a monitor: every connection of a character device becomes a session.</summary>
    /// <param name="chardev">Without a user so far.</param>
    /// <param name="monitorId">The monitor's id.</param>
    /// <param name="isPretty">Whether what it says is indented over several lines.</param>
    /// <exception cref="QmpException">The device is in use.</exception>
    public void AddMonitor(Chardev chardev, string monitorId, bool isPretty)
    {
        var monitor = new QmpMonitor(monitorId, isPretty);
        Attach(chardev, monitorId, (transport, number) => new QmpSession(transport, dispatcher, events, monitor, number));
    }

    /// <summary>Adds a human monitor: every connection of a character device is a person who types lines.</summary>
    /// <param name="chardev">Without a user so far.</param>
    /// <param name="monitorId">The monitor's id.</param>
    /// <param name="runLine">Runs a line and gives back what it printed; <see langword="null"/> when it ended the daemon.</param>
    /// <exception cref="QmpException">The device is in use.</exception>
    public void AddHumanMonitor(Chardev chardev, string monitorId, Func<string, Task<string?>> runLine) =>
        Attach(chardev, monitorId, (transport, number) => new HmpSession(transport, runLine, $"session {number} of human monitor '{monitorId}'"));

    /// <summary>Closes the listening sockets, lets every session answer what it has received and send what it has to, then closes it.</summary>
    /// <returns>Completes when no session is left; a client that does not read is waited for a few seconds only.</returns>
    public Task StopAsync()
    {
        IMonitorSession[] sessions;
        lock (_gate)
        {
            _lastSessionEnded ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _chardevs.ForEach(chardev => chardev.Dispose());
            _chardevs.Clear();
            sessions = [.. _sessions];
            if (sessions.Length == 0)
            {
                _lastSessionEnded.TrySetResult();
            }
        }

        foreach (IMonitorSession session in sessions)
        {
            session.Stop();
        }

        return _lastSessionEnded.Task;
    }

    private void Attach(Chardev chardev, string monitorId, Func<QmpTransport, int, IMonitorSession> makeSession)
    {
        chardev.Attach(transport => StartSession(transport, monitorId, makeSession));
        lock (_gate)
        {
            _chardevs.Add(chardev);
        }
    }

    /// <summary>Serves a connection on a thread of its own.</summary>
    private void StartSession(QmpTransport transport, string monitorId, Func<QmpTransport, int, IMonitorSession> makeSession)
    {
        IMonitorSession session;
        lock (_gate)
        {
            if (_lastSessionEnded is not null || _sessions.Count >= MaximumSessions)
            {
                DaemonLog.Warn("Qmp", $"a client of monitor '{monitorId}' was turned away: {_sessions.Count} sessions are open");
                transport.Dispose();
                return;
            }

            session = makeSession(transport, ++_sessionCount);
            _sessions.Add(session);
        }

        if (ClientThread.TryStart($"monitor session {monitorId}", () => RunSession(session)) is null)
        {
            transport.Dispose();
            Forget(session);
        }
    }

    private void RunSession(IMonitorSession session)
    {
        DescriptorSets.ClientCame();
        session.Run();
        DescriptorSets.ClientLeft();
        Forget(session);
    }

    private void Forget(IMonitorSession session)
    {
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
