using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Io;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Jobs;

/// <summary>Checks an image and repairs it (<c>x-blockdev-check</c>); the client dismisses it. Progress counts tables.</summary>
/// <remarks>
/// The check, and the giving back of leaked clusters, go on while the image is in use, a table at a time. Only for other repairs is the image
/// stopped, and made writable if it is not; that part checks anew and can be cancelled until it writes, but not paused, for its guests wait.
/// </remarks>
public sealed class CheckJob : Job, IImageCheckPace
{
    private readonly Qcow2Node _image;
    private readonly ImageCheckFix _fix;
    private readonly BlockBackend _door;

    private CheckJob(JobManager manager, string jobId, Qcow2Node image, ImageCheckFix fix)
        : base(manager, JobType.Check, new JobSettings { JobId = jobId, AutoDismiss = false })
    {
        (_image, _fix) = (image, fix);
        _door = new BlockBackend { DrainedChanged = OnDrainedChanged };
    }

    /// <inheritdoc/>
    CancellationToken IImageCheckPace.Cancellation => Cancellation;

    /// <summary>Starts the job. A turn; the caller holds the graph.</summary>
    /// <param name="manager">All jobs.</param>
    /// <param name="jobId">The client's id.</param>
    /// <param name="image">The image; it cannot be deleted meanwhile.</param>
    /// <param name="fix">What to repair.</param>
    /// <exception cref="QmpException">The id is malformed or taken, or others do not share the image.</exception>
    public static void Start(JobManager manager, string jobId, Qcow2Node image, ImageCheckFix fix)
    {
        var job = new CheckJob(manager, jobId, image, fix);
        try
        {
            manager.Graph.AttachRoot(job._door, image, BlockPermission.ConsistentRead, BlockPermission.All, staysAtNode: true);
        }
        catch (QmpException)
        {
            job.Discard();
            throw;
        }

        job.Start();
    }

    /// <inheritdoc/>
    void IImageCheckPace.Foresee(long tables) => Progress.SetRemaining(tables);

    /// <inheritdoc/>
    async ValueTask IImageCheckPace.EnterAsync()
    {
        do
        {
            await PausePointAsync().ConfigureAwait(false);
            await _door.WaitOpenAsync().WaitAsync(Cancellation).ConfigureAwait(false);
        }
        while (!_door.TryEnter());
    }

    /// <inheritdoc/>
    void IImageCheckPace.Exit(int tables)
    {
        Progress.Advance(tables);
        _door.Exit();
    }

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        if (!await _image.TryCheckAsync(_fix, this).ConfigureAwait(false))
        {
            await Manager.Loop.RunAsync(RepairAsync).ConfigureAwait(false);
        }

        Progress.SetRemaining(0);
    }

    /// <inheritdoc/>
    protected override ValueTask CleanAsync() => Manager.Graph.DetachRootAsync(_door);

    /// <summary>Repairs the image while nobody uses it, not even this job's own door. A turn, and resumes as turns.</summary>
    private async Task RepairAsync()
    {
        using GraphChange change = await Manager.Graph.ChangeAsync();
        await Manager.Graph.DetachRootAsync(_door);
        BlockGraph.CheckActive(_image);
        using DrainedSection section = await Manager.Graph.DrainAsync(_image);
        if (_image.IsReadOnly)
        {
            await RepairReadOnlyAsync();
        }
        else
        {
            await RepairWritableAsync();
        }
    }

    private Task RepairWritableAsync() => BlockThreads.RunAsync(() => _image.RepairAsync(_fix, new AlonePace(this)));

    /// <summary>A corrupt image can only be open read-only, so its repair opens it for writing, for that alone.</summary>
    private async Task RepairReadOnlyAsync()
    {
        _image.SetUnderRepair(true);
        try
        {
            await BlockReopen.SetReadOnlyAsync(Manager.Graph, _image, readOnly: false);
            try
            {
                await RepairWritableAsync();
            }
            finally
            {
                await BlockReopen.SetReadOnlyAsync(Manager.Graph, _image, readOnly: true);
            }
        }
        finally
        {
            _image.SetUnderRepair(false);
        }
    }

    private void OnDrainedChanged(bool isDrained)
    {
        if (isDrained)
        {
            Halt();
        }
        else
        {
            Unhalt();
        }
    }

    /// <summary>The pace of the part that is alone with the image.</summary>
    private sealed class AlonePace(CheckJob job) : IImageCheckPace
    {
        public CancellationToken Cancellation => job.Cancellation;

        public void Foresee(long tables) => job.Progress.SetRemaining(tables);

        public ValueTask EnterAsync()
        {
            Cancellation.ThrowIfCancellationRequested();
            return default;
        }

        public void Exit(int tables) => job.Progress.Advance(tables);
    }
}
