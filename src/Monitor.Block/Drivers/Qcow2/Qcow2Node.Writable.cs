using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>From writable to read-only, to another process or to another file, and back, while the image is open.</summary>
/// <remarks>
/// A writable image has its bitmaps marked in use on disk, so that a crash leaves none that looks exact and is not. When a reopen to
/// read-only is refused after the bitmaps were stored, and marking them again fails too, writes are held back: each one first tries
/// to mark them, and fails if it cannot. So no write ever goes unrecorded.
/// </remarks>
public sealed partial class Qcow2Node
{
    private volatile bool _isHeldBack;

    private SemaphoreSlim Entering { get; } = new(1, 1);

    /// <inheritdoc/>
    protected internal override async ValueTask LeaveWritableAsync()
    {
        if (_isUnderRepair)
        {
            return;
        }

        await _storedBitmaps.ReopenReadOnlyAsync().ConfigureAwait(false);
        await _image.StoreAsync().ConfigureAwait(false);
        _isHeldBack = false;
    }

    /// <inheritdoc/>
    protected internal override async ValueTask EnterWritableAsync()
    {
        if (_isUnderRepair)
        {
            return;
        }

        if (ShowsSnapshot)
        {
            throw new QmpException(SnapshotIsReadOnly);
        }

        const Qcow2IncompatibleFeatures Unwritable = Qcow2IncompatibleFeatures.Dirty | Qcow2IncompatibleFeatures.Corrupt;
        if ((Header.Incompatible & Unwritable) != 0)
        {
            throw new QmpException("qcow2: Image is corrupt; cannot be opened read/write");
        }

        await ClearUnknownAutoclearAsync().ConfigureAwait(false);
        await _storedBitmaps.ReopenWritableAsync().ConfigureAwait(false);
        _isHeldBack = false;
    }

    /// <inheritdoc/>
    protected internal override async ValueTask StayWritableAsync()
    {
        try
        {
            await EnterWritableAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is QmpException or BlockIoException)
        {
            DaemonLog.Error("Block", $"node {NodeName}: its bitmaps could not be marked in use again; writes wait for that: {e.Message}");
            _isHeldBack = true;
        }
    }

    /// <inheritdoc/>
    protected internal override ValueTask LeaveFileAsync() => _image.StoreAsync();

    /// <inheritdoc/>
    /// <remarks>As in QEMU the new file holds the same image: header, L1 and refcount table stay as they are in memory, and so do the bitmaps.</remarks>
    protected internal override void OnFileReplaced() => _image.ForgetBlocks();

    /// <inheritdoc/>
    protected internal override ValueTask OnReopenedAsync() => _image.NoteInactiveL2Async();

    /// <inheritdoc/>
    protected internal override void OnInactivated() => _storedBitmaps.Forget();

    /// <inheritdoc/>
    protected internal override async ValueTask EnterActiveAsync()
    {
        try
        {
            await ReadImageAsync().ConfigureAwait(false);
            StartCleaner();
            MarkUnseenWrites();
            await LoadBitmapsAsync().ConfigureAwait(false);
            _isHeldBack = false;
        }
        catch (Exception e) when (e is QmpException or BlockIoException)
        {
            throw new QmpException($"Could not reopen qcow2 layer: {e.Message}");
        }
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        _isHeldBack ? WriteOnceMarkedAsync(offset, buffer, flags) : base.DoWriteAsync(offset, buffer, flags);

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await MarkIfHeldBackAsync().ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        await MarkIfHeldBackAsync().ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    private async ValueTask WriteOnceMarkedAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await MarkIfHeldBackAsync().ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }

    private async ValueTask MarkIfHeldBackAsync()
    {
        if (!_isHeldBack)
        {
            return;
        }

        await Entering.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_isHeldBack)
            {
                await EnterWritableAsync().ConfigureAwait(false);
            }
        }
        catch (QmpException e)
        {
            throw new BlockIoException(Errno.EIO, e.Message);
        }
        finally
        {
            Entering.Release();
        }
    }
}
