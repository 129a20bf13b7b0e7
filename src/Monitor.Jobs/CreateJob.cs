using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>Creates an image (<c>blockdev-create</c>): runs what it is given; the client dismisses it.</summary>
public sealed class CreateJob : Job
{
    private readonly Func<ValueTask> _create;

    private CreateJob(JobManager manager, string jobId, Func<ValueTask> create)
        : base(manager, JobType.Create, new JobSettings { JobId = jobId, AutoDismiss = false }) => _create = create;

    /// <summary>Starts the job. A turn.</summary>
    /// <param name="manager">All jobs.</param>
    /// <param name="jobId">The client's id.</param>
    /// <param name="create">The work; runs on a block thread. Its <see cref="QmpException"/> or <c>BlockIoException</c> becomes the job's error.</param>
    /// <exception cref="QmpException">The id is malformed or taken.</exception>
    public static CreateJob Start(JobManager manager, string jobId, Func<ValueTask> create)
    {
        var job = new CreateJob(manager, jobId, create);
        job.Progress.SetTotal(1);
        job.Start();
        return job;
    }

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        try
        {
            await _create().ConfigureAwait(false);
        }
        finally
        {
            Progress.Advance(1);
        }
    }
}
