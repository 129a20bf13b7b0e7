namespace Monitor.Qmp;

/// <summary>One client of a monitor, on a thread of its own.</summary>
internal interface IMonitorSession
{
    /// <summary>Serves the client until it leaves or the session is stopped; the body of the thread.</summary>
    void Run();

    /// <summary>Ends the session after what has come is answered; returns at once.</summary>
    void Stop();
}
