using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>Creates or amends an image (<c>blockdev-create</c>, <c>x-blockdev-amend</c>): runs what it is given; the client dismisses it.</summary>
public sealed class ImageJob : Job
{
    private readonly Func<ValueTask> _work;

    private ImageJob(JobManager manager, JobType type, string jobId, Func<ValueTask> work)
        : base(manager, type, new JobSettings { JobId = jobId, AutoDismiss = false }) => _work = work;

    /// <summary>Starts the job. A turn.</summary>
    /// <param name="manager">All jobs.</param>
    /// <param name="type">What it says it does.</param>
    /// <param name="jobId">The client's id.</param>
    /// <param name="work">The work; runs on a block thread. Its <see cref="QmpException"/> or <c>BlockIoException</c> becomes the job's error.</param>
    /// <exception cref="QmpException">The id is malformed or taken.</exception>
    public static ImageJob Start(JobManager manager, JobType type, string jobId, Func<ValueTask> work)
    {
        var job = new ImageJob(manager, type, jobId, work);
        job.Progress.SetTotal(1);
        job.Start();
        return job;
    }

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        try
        {
            await _work().ConfigureAwait(false);
        }
        finally
        {
            Progress.Advance(1);
        }
    }
}
