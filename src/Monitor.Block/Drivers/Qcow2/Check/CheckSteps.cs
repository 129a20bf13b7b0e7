using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>How a check takes one table after the other: at its client's pace, each under the allocation lock if the image is in use.</summary>
/// <param name="file">The image's file.</param>
/// <param name="pace">Who wants the check; may be null.</param>
/// <param name="shared">The image, locked now, if it is in use; null if nothing can change it.</param>
internal sealed class CheckSteps(ImageFile file, IImageCheckPace? pace, ImageMetadata? shared)
{
    private readonly int _generation = shared?.Generation ?? 0;
    private long _left;

    /// <summary>Takes note of how much there is to do.</summary>
    /// <param name="tables">Tables to look at.</param>
    public void Foresee(long tables)
    {
        _left = tables;
        pace?.Foresee(tables);
    }

    /// <summary>Takes note of tables that turned out not to be there.</summary>
    public void Skip(long tables) => Foresee(_left - tables);

    /// <summary>Reads something, then looks at it, unless the image's tables were replaced since the check began.</summary>
    /// <param name="evt">What <c>blkdebug</c> calls the reading.</param>
    /// <param name="place">Position in the file.</param>
    /// <param name="buffer">Filled; may be empty.</param>
    /// <param name="look">Looks; while nothing changes the tables.</param>
    /// <returns>False if they were.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    /// <exception cref="OperationCanceledException">The check is to end.</exception>
    public async ValueTask<bool> TakeAsync(BlkdebugEvent evt, long place, Memory<byte> buffer, Func<ValueTask> look)
    {
        if (pace is not null)
        {
            await pace.EnterAsync().ConfigureAwait(false);
        }

        try
        {
            if (!buffer.IsEmpty)
            {
                await file.ReadAsync(place, buffer, evt).ConfigureAwait(false);
            }

            return await LookAsync(look).ConfigureAwait(false);
        }
        finally
        {
            _left--;
            pace?.Exit(1);
        }
    }

    private async ValueTask<bool> LookAsync(Func<ValueTask> look)
    {
        if (shared is null)
        {
            await look().ConfigureAwait(false);
            return true;
        }

        await shared.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            if (shared.Generation != _generation)
            {
                return false;
            }

            await look().ConfigureAwait(false);
            return true;
        }
        finally
        {
            shared.Lock.Release();
        }
    }
}
