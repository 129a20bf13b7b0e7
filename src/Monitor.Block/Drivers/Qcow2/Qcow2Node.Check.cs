using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Checking and repairing the image.</summary>
public sealed partial class Qcow2Node
{
    private bool _isUnderRepair;

    /// <summary>What the last check found, and what it was to repair; <see langword="null"/> before the first.</summary>
    public (ImageCheckFix Fix, ImageCheckFindings Findings)? LastCheck { get; private set; }

    /// <summary>One check at a time looks at the image while it is in use.</summary>
    private SemaphoreSlim Checking { get; } = new(1, 1);

    /// <summary>Whether a reopen makes the image writable for a repair only: it may be corrupt then, and its bitmaps stay as they are.</summary>
    /// <param name="value">True before the reopen, false when the image is read-only again.</param>
    public void SetUnderRepair(bool value) => _isUnderRepair = value;

    /// <summary>
    /// Checks the image while it is in use: finds what was wrong when it began, and gives back clusters that only a refcount keeps. Runs off the loop.
    /// </summary>
    /// <param name="fix">What is to be repaired.</param>
    /// <param name="pace">Who wants it; may be null. Every step is inside its door.</param>
    /// <returns>False if something is to be repaired for which the image must be alone: <see cref="RepairAsync"/>.</returns>
    /// <exception cref="BlockIoException">The medium failed; nothing was repaired.</exception>
    /// <exception cref="OperationCanceledException">It was to end.</exception>
    public async ValueTask<bool> TryCheckAsync(ImageCheckFix fix, IImageCheckPace? pace = null)
    {
        await Checking.WaitAsync(pace?.Cancellation ?? default).ConfigureAwait(false);
        try
        {
            bool? isDone;
            do
            {
                isDone = await CheckOnceAsync(fix, pace).ConfigureAwait(false);
            }
            while (isDone is null);
            return isDone.Value;
        }
        finally
        {
            Checking.Release();
        }
    }

    /// <summary>Checks and repairs the image, whose doors are closed and which is writable. Runs off the loop.</summary>
    /// <param name="fix">What to repair.</param>
    /// <param name="pace">Who wants it; may be null.</param>
    /// <exception cref="BlockIoException">The medium failed; nothing was repaired.</exception>
    /// <exception cref="OperationCanceledException">It was to end; nothing was repaired.</exception>
    public ValueTask RepairAsync(ImageCheckFix fix, IImageCheckPace? pace = null) => WhileIdleAsync(async () =>
    {
        Qcow2Check check = PrepareCheck(fix, out CheckedTables tables);
        try
        {
            ulong[] refcounts = await check.RepairAsync(pace).ConfigureAwait(false);
            LastCheck = (fix, check.Findings);
            _image.Adopt(tables.L1, refcounts, _image.Snapshots, _image.SnapshotTableBytes);
        }
        catch
        {
            // Everything was written before; entries that were mended in place must be read again.
            _image.ForgetBlocks();
            throw;
        }

        if (check.Findings is { Corruptions: 0, CheckErrors: 0 })
        {
            await _image.NoteInactiveL2Async().ConfigureAwait(false);
            _image.Corruption.Forget();
        }
    });

    /// <summary>Checks; starts nothing twice.</summary>
    /// <returns>As <see cref="TryCheckAsync"/>; null if the tables were replaced meanwhile.</returns>
    private async ValueTask<bool?> CheckOnceAsync(ImageCheckFix fix, IImageCheckPace? pace)
    {
        (Qcow2Check check, CheckSteps steps, ImageMetadata image) = await BeginCheckAsync(pace).ConfigureAwait(false);
        try
        {
            if (!await check.Pass.RunAsync(steps).ConfigureAwait(false))
            {
                return null;
            }
        }
        finally
        {
            image.File.BeforeChange = null;
        }

        bool onlyLeaks = check.Conclude();
        bool isSound = onlyLeaks && check.Findings.Leaks == 0;
        bool isDoubtful = (Header.Incompatible & (Qcow2IncompatibleFeatures.Dirty | Qcow2IncompatibleFeatures.Corrupt)) != 0;
        if (fix != ImageCheckFix.None && !isSound && onlyLeaks && !isDoubtful && !IsReadOnly)
        {
            if (!await FreeLeaksAsync(check, steps, image).ConfigureAwait(false))
            {
                return null;
            }

            isSound = true;
        }

        LastCheck = (fix, check.Findings);
        return fix == ImageCheckFix.None || (isSound && !isDoubtful);
    }

    /// <summary>Prepares a check of the image as it is at an idle moment, which everything in memory is written for.</summary>
    private async ValueTask<(Qcow2Check Check, CheckSteps Steps, ImageMetadata Image)> BeginCheckAsync(IImageCheckPace? pace)
    {
        (Qcow2Check, CheckSteps, ImageMetadata) begun = default;
        if (pace is not null)
        {
            await pace.EnterAsync().ConfigureAwait(false);
        }

        try
        {
            await WhileIdleAsync(async () =>
            {
                Qcow2Check check = PrepareCheck(ImageCheckFix.None, out _);
                await check.Pass.BeginAsync().ConfigureAwait(false);
                begun = (check, new CheckSteps(_image.File, pace, _image), _image);
                _image.File.BeforeChange = check.Pass.LookAheadAsync;
            }).ConfigureAwait(false);
        }
        finally
        {
            pace?.Exit(0);
        }

        return begun;
    }

    private Qcow2Check PrepareCheck(ImageCheckFix fix, out CheckedTables tables)
    {
        tables = new CheckedTables(_image.Map.CopyL1(), _image.Refcounts.CopyTable(), _image.Snapshots, _image.SnapshotTableBytes);
        var check = new Qcow2Check(_image.File, _image.Header, tables, fix);
        foreach (ClusterRun run in _image.Retired.All)
        {
            check.Pass.Expect(run);
        }

        return check;
    }

    /// <summary>Gives back what leaked. No request can have come to refer to it since: it has a refcount.</summary>
    /// <returns>False if the tables were replaced meanwhile.</returns>
    private async ValueTask<bool> FreeLeaksAsync(Qcow2Check check, CheckSteps steps, ImageMetadata image)
    {
        steps.Foresee(check.Leaks().Count() + 1);
        foreach (ClusterRun run in check.Leaks())
        {
            ValueTask Free() => IsReadOnly ? throw new BlockIoException(Errno.EPERM) : image.FreeAsync(run, Qcow2Discard.Always);
            if (!await steps.TakeAsync(BlkdebugEvent.RefblockLoad, 0, default, Free).ConfigureAwait(false))
            {
                return false;
            }
        }

        check.SetLeaksFixed();
        return await steps.TakeAsync(BlkdebugEvent.RefblockLoad, 0, default, image.FlushAsync).ConfigureAwait(false);
    }

    /// <summary>Does something at a time when nothing changes the image, what is in memory is on disk, and no bitmap is being stored.</summary>
    private ValueTask WhileIdleAsync(Func<ValueTask> action) => _storedBitmaps.AloneAsync(async () =>
    {
        if (ShowsSnapshot)
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        await EnterIdleAsync().ConfigureAwait(false);
        try
        {
            if (!IsReadOnly && !_isUnderRepair && !_image.Corruption.IsFatal)
            {
                await _image.StoreAsync().ConfigureAwait(false);
            }

            await action().ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    });
}
