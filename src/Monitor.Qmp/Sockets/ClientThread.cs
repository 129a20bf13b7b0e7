namespace Monitor.Qmp;

/// <summary>Threads that a client makes necessary; how many there are is up to clients, so that the system may have none to give.</summary>
public static class ClientThread
{
    /// <summary>Starts a background thread.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="run">What it does; throws nothing.</param>
    /// <returns>The thread; <see langword="null"/> when the system had none to give, which is in the log.</returns>
    public static Thread? TryStart(string name, Action run)
    {
        var thread = new Thread(new ThreadStart(run)) { IsBackground = true, Name = name };
        try
        {
            thread.Start();
            return thread;
        }
        catch (OutOfMemoryException)
        {
            DaemonLog.Warn("Qmp", $"the system has no thread '{name}' to give: its client is turned away");
            return null;
        }
    }
}
