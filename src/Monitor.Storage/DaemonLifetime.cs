using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using Monitor.Storage.Exports;

namespace Monitor.Storage;

/// <summary>The one orderly end, whether a client asked for it or a signal. Its methods are turns.</summary>
/// <param name="exports">Closed first, so that no guest write is under way.</param>
/// <param name="jobs">Cancelled by force then.</param>
/// <param name="drives">Let go of at last; their parked requests fail at first.</param>
public sealed class DaemonLifetime(ExportManager exports, JobManager jobs, DriveManager drives)
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _ending;

    /// <summary>Completes when exports and jobs are gone: what is left is to answer the sessions and close the nodes.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Whether the end has begun.</summary>
    public bool IsEnding => _ending is not null;

    /// <summary>Begins the end and tells it to every client; a second call joins the first.</summary>
    /// <param name="cause">For the clients.</param>
    /// <param name="reason">For the log.</param>
    /// <returns>Completes as <see cref="Ended"/> does.</returns>
    public Task EndAsync(ShutdownCause cause, string reason) => _ending ??= DoEndAsync(cause, reason);

    /// <summary>Refuses work that would outlive the end.</summary>
    /// <exception cref="QmpException">The end has begun.</exception>
    public void CheckRunning()
    {
        if (IsEnding)
        {
            throw new QmpException("The daemon is shutting down");
        }
    }

    private async Task DoEndAsync(ShutdownCause cause, string reason)
    {
        DaemonLog.Info("Daemon", $"ending: {reason}");
        jobs.Graph.Events.Shutdown(guest: false, cause);
        try
        {
            drives.AbandonParked();
            await exports.CloseAllAsync();
            await jobs.CancelAllAsync();
            await drives.CloseAllAsync();
        }
        catch (Exception e)
        {
            DaemonLog.Error("Daemon", $"the end goes on: {e}");
        }

        _ended.SetResult();
    }
}
