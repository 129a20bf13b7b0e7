using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>All jobs by id. Its methods are turns of the loop.</summary>
public sealed class JobManager
{
    private readonly List<Job> _jobs = [];

    /// <summary>Makes an empty list.</summary>
    /// <param name="graph">The graph the jobs work on; its event sink takes their events.</param>
    /// <param name="time">Clock of speed limits.</param>
    public JobManager(BlockGraph graph, TimeProvider? time = null)
    {
        Graph = graph;
        Time = time ?? TimeProvider.System;
    }

    /// <summary>The graph the jobs work on.</summary>
    public BlockGraph Graph { get; }

    /// <summary>Whose turns own the jobs.</summary>
    public MonitorLoop Loop => Graph.Loop;

    /// <summary>All jobs, newest first.</summary>
    public IReadOnlyList<Job> Jobs => _jobs;

    internal TimeProvider Time { get; }

    /// <summary>The job of that id, for the <c>job-*</c> commands.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    public Job Get(string id) => Find(id) ?? throw new QmpException("Job not found");

    /// <summary>The block job of that id, for the <c>block-job-*</c> commands.</summary>
    /// <exception cref="QmpException">There is none (class <c>DeviceNotActive</c>).</exception>
    public BlockJob GetBlockJob(string id) =>
        Find(id) as BlockJob ?? throw new QmpException(QmpErrorClass.DeviceNotActive, $"Block job '{id}' not found");

    /// <summary>The answer of <c>query-jobs</c>.</summary>
    public IReadOnlyList<JobInfo> QueryJobs() => _jobs.ConvertAll(job => job.ToInfo());

    /// <summary>The answer of <c>query-block-jobs</c>.</summary>
    public IReadOnlyList<BlockJobInfo> QueryBlockJobs()
    {
        var infos = new List<BlockJobInfo>(_jobs.Count);
        foreach (Job job in _jobs)
        {
            if (job is BlockJob blockJob)
            {
                infos.Add(blockJob.ToBlockJobInfo());
            }
        }

        return infos;
    }

    /// <summary>Refuses an id that is malformed or taken; ask early, making the job asks again.</summary>
    /// <exception cref="QmpException">It is.</exception>
    public void CheckNewId(string id)
    {
        if (!NodeName.IsWellFormed(id))
        {
            throw new QmpException($"Invalid job ID '{id}'");
        }

        if (Find(id) is not null)
        {
            throw new QmpException($"Job ID '{id}' already in use");
        }
    }

    /// <summary>Refuses a node that a block job has for itself.</summary>
    /// <exception cref="QmpException">One has.</exception>
    public void CheckNotInUse(BlockNode node)
    {
        if (FindUser(node) is { } user)
        {
            throw new QmpException($"Node '{node.NodeName}' is busy: block device is in use by block job: {user.Type.ToWire()}");
        }
    }

    /// <summary>The job that uses a node for itself, if one does.</summary>
    public BlockJob? FindUser(BlockNode node)
    {
        foreach (Job job in _jobs)
        {
            if (job is BlockJob blockJob && blockJob.BlockedNodes.Contains(node))
            {
                return blockJob;
            }
        }

        return null;
    }

    /// <summary>The job that a door belongs to, if it is a job's.</summary>
    public BlockJob? FindOwner(BlockBackend door)
    {
        foreach (Job job in _jobs)
        {
            if (job is BlockJob blockJob && blockJob.Owns(door))
            {
                return blockJob;
            }
        }

        return null;
    }

    /// <summary>Ends all jobs by force and forgets them (<c>quit</c>).</summary>
    /// <returns>Completes when none is left.</returns>
    public async Task CancelAllAsync()
    {
        // QEMU drains everything before it quits, which clients see as a short pause of every job.
        foreach (Job job in _jobs.ToArray())
        {
            job.Halt();
            job.Unhalt();
        }

        while (_jobs.Count > 0)
        {
            Job job = _jobs[0];
            if (job.Status == JobStatus.Concluded)
            {
                job.Dismiss();
                continue;
            }

            // One that a transaction has yet to start ends as soon as it is started, or is abandoned.
            if (job.IsStarted)
            {
                await job.RequestCancelAsync(force: true);
            }
            else
            {
                job.MarkCancelled();
            }

            await job.Concluded;
        }
    }

    internal void Add(Job job) => _jobs.Insert(0, job);

    internal void Remove(Job job) => _jobs.Remove(job);

    /// <summary>Lets control-plane work go on by itself; a failure of it is a defect, and logged.</summary>
    internal static async void Detach(Task work)
    {
        try
        {
            await work;
        }
        catch (Exception e)
        {
            DaemonLog.Error("Jobs", e.ToString());
        }
    }

    private Job? Find(string id) => _jobs.Find(job => job.Id == id);
}
