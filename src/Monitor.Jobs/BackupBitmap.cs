using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Jobs;

/// <summary>The client's bitmap in a backup: the rules of its use, and what becomes of it at the end.</summary>
/// <remarks>
/// It is frozen at the backup's instant; a successor records from then on. Whatever happens afterwards, bitmap ∪ successor is
/// everything written since the last good backup, until one of the two ends below is chosen.
/// </remarks>
internal sealed class BackupBitmap
{
    private readonly DirtyBitmap _bitmap;
    private readonly BitmapSyncMode _mode;

    private BackupBitmap(DirtyBitmap bitmap, BitmapSyncMode mode)
    {
        _bitmap = bitmap;
        _mode = mode;
    }

    /// <summary>Applies the rules for <c>sync</c>, <c>bitmap</c> and <c>bitmap-mode</c>; changes nothing.</summary>
    /// <returns>The bitmap, or <see langword="null"/> if the backup uses none.</returns>
    /// <exception cref="QmpException">They do not go together, or the bitmap cannot be used.</exception>
    public static BackupBitmap? Check(BackupOptions options)
    {
        string sync = options.Sync.ToWire();
        bool isGuided = options.Sync is MirrorSyncMode.Incremental or MirrorSyncMode.Bitmap;
        BitmapSyncMode? mode = options.BitmapMode;
        if (isGuided && options.Bitmap is null)
        {
            throw new QmpException($"must provide a valid bitmap name for '{sync}' sync mode");
        }

        if (options.Sync == MirrorSyncMode.Incremental)
        {
            if (mode is not (null or BitmapSyncMode.OnSuccess))
            {
                throw new QmpException($"Bitmap sync mode must be 'on-success' when using sync mode '{sync}'");
            }

            mode = BitmapSyncMode.OnSuccess;
        }

        if (options.Bitmap is not { } name)
        {
            return mode is null ? null : throw new QmpException("Cannot specify bitmap sync mode without a bitmap");
        }

        DirtyBitmap bitmap = options.Source.Bitmaps.TryFind(name) ?? throw new QmpException($"Bitmap '{name}' could not be found");
        if (mode is null)
        {
            throw new QmpException("Bitmap sync mode must be given when providing a bitmap");
        }

        bitmap.CheckUsable(BitmapUse.Read);
        if (options.Sync == MirrorSyncMode.None)
        {
            throw new QmpException($"sync mode '{sync}' does not produce meaningful bitmap outputs");
        }

        if (mode == BitmapSyncMode.Never && !isGuided)
        {
            throw new QmpException($"Bitmap sync mode 'never' has no meaningful effect when combined with sync mode '{sync}'");
        }

        return new BackupBitmap(bitmap, mode.Value);
    }

    /// <summary>Refuses a bitmap that will have to change and cannot.</summary>
    /// <exception cref="QmpException">It is read-only.</exception>
    public void CheckChangeable()
    {
        if (_mode != BitmapSyncMode.Never)
        {
            _bitmap.CheckUsable(BitmapUse.Modify);
        }
    }

    /// <summary>Freezes it. The doors are closed.</summary>
    public void Freeze() => _bitmap.Owner.CreateSuccessor(_bitmap);

    /// <summary>What it holds.</summary>
    public HierarchicalBitmap CopyContent() => _bitmap.Owner.CopyContent(_bitmap);

    /// <summary>Undoes the freeze: the backup did not take place.</summary>
    public void Thaw() => _bitmap.Owner.Reclaim(_bitmap);

    /// <summary>The backup succeeded.</summary>
    public void Succeed()
    {
        if (_mode == BitmapSyncMode.Never)
        {
            _bitmap.Owner.Reclaim(_bitmap);
        }
        else
        {
            _bitmap.Owner.Abdicate(_bitmap);
        }
    }

    /// <summary>The backup failed or was cancelled.</summary>
    /// <param name="notCopied">What was not copied.</param>
    public void Fail(HierarchicalBitmap notCopied)
    {
        if (_mode == BitmapSyncMode.Always)
        {
            _bitmap.Owner.Abdicate(_bitmap);
            _bitmap.Owner.MergeContent(_bitmap, notCopied);
        }
        else
        {
            _bitmap.Owner.Reclaim(_bitmap);
        }
    }
}
