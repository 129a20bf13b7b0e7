using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>job</c>: verbs of jobs of every kind.</summary>
/// <param name="jobs">All jobs.</param>
public sealed class JobCommands(JobManager jobs) : IJobCommands
{
    /// <inheritdoc/>
    public ValueTask JobPauseAsync(JobPauseArguments arguments)
    {
        jobs.Get(arguments.Id).Pause();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask JobResumeAsync(JobResumeArguments arguments)
    {
        jobs.Get(arguments.Id).Resume();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask JobCancelAsync(JobCancelArguments arguments) => new(jobs.Get(arguments.Id).CancelAsync(force: true));

    /// <inheritdoc/>
    public ValueTask JobCompleteAsync(JobCompleteArguments arguments)
    {
        jobs.Get(arguments.Id).Complete();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask JobDismissAsync(JobDismissArguments arguments)
    {
        jobs.Get(arguments.Id).Dismiss();
        return default;
    }

    /// <inheritdoc/>
    public ValueTask JobFinalizeAsync(JobFinalizeArguments arguments) => new(jobs.Get(arguments.Id).FinalizeAsync());

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<JobInfo>> QueryJobsAsync() => new(jobs.QueryJobs());
}
