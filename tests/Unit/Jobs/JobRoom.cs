using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Jobs;

/// <summary>A loop, a graph with a source (which a guest uses) and a target, and the jobs.</summary>
internal sealed class JobRoom : IDisposable
{
    public const int Cluster = 64 << 10;

    public JobRoom(int sizeBytes = 1 << 20, TimeProvider? time = null, bool isSourceAllocated = true)
    {
        Source = new GatedNode("src", sizeBytes, isSourceAllocated);
        Target = new GatedNode("dst", sizeBytes);
        Graph = new BlockGraph(Loop, Events);
        Jobs = new JobManager(Graph, time ?? new QuickTime());
        Turn(() =>
        {
            Add(Source);
            Add(Target);
            Graph.AttachRoot(Guest, Source, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);
        });
    }

    public MonitorLoop Loop { get; } = new();

    public RecordedEvents Events { get; } = new();

    public BlockGraph Graph { get; }

    public JobManager Jobs { get; }

    public GatedNode Source { get; }

    public GatedNode Target { get; }

    public BlockBackend Guest { get; } = new("block device 'guest'");

    public MirrorOptions MirrorOptions => new() { JobId = "m", Source = Source, Target = Target, Sync = MirrorSyncMode.Full };

    public BackupOptions BackupOptions => new() { JobId = "b", Source = Source, Target = Target, Sync = MirrorSyncMode.Full };

    public void Dispose() => Loop.Dispose();

    public void Add(BlockNode node)
    {
        node.IsMonitorOwned = true;
        Graph.Add(node);
    }

    public void Turn(Action turn) => Loop.Run(static t => t(), turn);

    public T Turn<T>(Func<T> turn)
    {
        T result = default!;
        Loop.Run(t => result = t(), turn);
        return result;
    }

    public Task TurnAsync(Func<Task> turn) => Loop.RunAsync(turn).WaitAsync(TimeSpan.FromSeconds(60));

    public string Refusal(Action turn)
    {
        try
        {
            Turn(turn);
            return "";
        }
        catch (QmpException e)
        {
            return e.Message;
        }
    }

    public async Task<string> RefusalAsync(Func<Task> turn)
    {
        try
        {
            await TurnAsync(turn);
            return "";
        }
        catch (QmpException e)
        {
            return e.Message;
        }
    }

    public Task<MirrorJob> MirrorAsync(MirrorOptions? options = null) => Loop.RunAsync(async () =>
    {
        using GraphChange change = await Graph.ChangeAsync();
        return await MirrorJob.StartAsync(Jobs, options ?? MirrorOptions);
    });

    /// <summary>Starts a backup as a transaction of one does.</summary>
    public Task<BackupJob> BackupAsync(BackupOptions? options = null) => Loop.RunAsync(async () =>
    {
        BackupJob job;
        using GraphChange change = await Graph.ChangeAsync();
        using (await Graph.DrainAsync(Source))
        {
            job = BackupJob.Prepare(Jobs, options ?? BackupOptions);
            job.Start();
        }

        job.Proceed();
        return job;
    });

    /// <summary>Closes the source's doors, does something, opens them.</summary>
    public Task DrainedAsync(Action inside) => TurnAsync(async () =>
    {
        using GraphChange change = await Graph.ChangeAsync();
        using DrainedSection section = await Graph.DrainAsync(Source);
        inside();
    });

    /// <summary>Everything a job used is given back: the graph is as it was before.</summary>
    public bool IsGraphAsBefore() => Turn(() =>
        Graph.Nodes.Count == 2 && Source.Parents.Count <= 1 && Target.Parents.Count <= 1 && Source.Bitmaps.List().All(b => b.Name is not null));
}
