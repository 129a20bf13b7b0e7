using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Jobs;

/// <summary>Sets the bits of everything that is allocated in a node's own layer, so that a bitmap tells what an overlay holds.</summary>
/// <remarks>
/// The bits are gathered aside and become the bitmap's at the end, in one piece: a job that fails or is cancelled changes nothing. The
/// bitmap is busy meanwhile and records the guest's writes as before. What the guest allocates behind the job's back it also writes, so an
/// enabled bitmap misses nothing.
/// </remarks>
public sealed class BitmapPopulateJob : BlockJob
{
    private readonly BlockNode _node;
    private readonly DirtyBitmap _bitmap;
    private readonly HierarchicalBitmap _allocated;
    private long _position;

    private BitmapPopulateJob(JobManager manager, BitmapPopulateOptions options)
        : base(manager, JobType.BitmapPopulate, options)
    {
        _node = options.Node;
        _bitmap = options.Bitmap;
        _allocated = new HierarchicalBitmap(_node.SizeBytes, _bitmap.Granularity);
        Progress.SetTotal(_node.SizeBytes);
    }

    /// <summary>Checks everything and claims the bitmap; then comes <see cref="Job.Start"/> or <see cref="Job.AbandonAsync"/>.</summary>
    /// <remarks>A turn; the caller holds the graph.</remarks>
    /// <exception cref="QmpException">The bitmap cannot be changed, or the id not be used; everything is as before.</exception>
    public static BitmapPopulateJob Prepare(JobManager manager, BitmapPopulateOptions options)
    {
        options.Bitmap.CheckUsable(BitmapUse.Modify);
        var job = new BitmapPopulateJob(manager, options);
        try
        {
            manager.Graph.AttachRoot(job.SourceDoor, options.Node, BlockPermission.ConsistentRead, BlockPermission.All, staysAtNode: true);
        }
        catch (QmpException)
        {
            job.Discard();
            throw;
        }

        options.Bitmap.Owner.SetBusy(options.Bitmap);
        return job;
    }

    /// <inheritdoc/>
    protected override async ValueTask RunAsync()
    {
        while (_position < _node.SizeBytes)
        {
            await PausePointAsync().ConfigureAwait(false);
            if (await TryAddRunAsync().ConfigureAwait(false) is { } failure)
            {
                await HandleErrorAsync(CopyOutcome.ReadFailed(failure)).ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc/>
    protected override ValueTask CommitAsync()
    {
        _bitmap.Owner.MergeContent(_bitmap, _allocated);
        _bitmap.Owner.ClearBusy(_bitmap);
        return default;
    }

    /// <inheritdoc/>
    protected override ValueTask AbortAsync()
    {
        _bitmap.Owner.ClearBusy(_bitmap);
        return default;
    }

    /// <inheritdoc/>
    protected override void UndoMaking() => _bitmap.Owner.ClearBusy(_bitmap);

    /// <summary>Looks at the next run of the layer's map, inside the door.</summary>
    /// <returns>Why the map could not be read; null if it could.</returns>
    private async ValueTask<BlockIoException?> TryAddRunAsync()
    {
        while (!SourceDoor.TryEnter())
        {
            await SourceDoor.WaitOpenAsync().WaitAsync(Cancellation).ConfigureAwait(false);
        }

        try
        {
            BlockNode? basis = _node.SkipFilters().Backing?.Node.SkipFilters();
            long rest = _node.SizeBytes - _position;
            if (rest <= 0)
            {
                return null;
            }

            BlockStatus run = await BlockStatusWalk.StatusAsync(_node, _position, rest, basis).ConfigureAwait(false);
            if (run.IsAllocated)
            {
                _allocated.Set(_position, run.Length);
            }

            _position += run.Length;
            Progress.Advance(run.Length);
            return null;
        }
        catch (BlockIoException e)
        {
            return e;
        }
        finally
        {
            SourceDoor.Exit();
        }
    }
}
