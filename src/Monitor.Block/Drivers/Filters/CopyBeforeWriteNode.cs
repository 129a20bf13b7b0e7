using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Before a write changes what is to be kept, the old bytes go to the target (driver <c>copy-before-write</c>; the filter of a backup).</summary>
/// <remarks>
/// <para>What is still to be copied is dirty in <see cref="BlockCopy"/>'s bitmap. A backup job gives it with <see cref="Copy"/>, leads the
/// copying itself and is told when a copy fails. A node that the client made sets it up when it is opened.</para>
/// <para>The disk as it was at that moment can be read meanwhile (<c>snapshot-access</c>): what was copied from the target, the rest from below
/// with its range claimed, so that a write waits until it was read. Example: cluster 3 is asked for and not copied yet. The reader claims
/// it and reads the disk; a guest's write to it waits for the claim, copies the old bytes away and goes on; the next reader is sent to the target.</para>
/// </remarks>
public sealed class CopyBeforeWriteNode : FilterNode
{
    private readonly CopyBeforeWriteOptions? _options;
    private DirtyBitmap? _toCopy;
    private DirtyBitmap? _accessible;
    private volatile bool _isBroken;

    /// <summary>Makes the node; its children <c>file</c> (role Filtered) and <c>target</c> (role Data) are attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">How it copies; <see langword="null"/> for the filter of a backup, which does nothing before <see cref="Copy"/> is set.</param>
    public CopyBeforeWriteNode(BlockNodeSettings settings, CopyBeforeWriteOptions? options = null)
        : base(settings)
    {
        _options = options;
        FailsGuestWrites = options is { FailsGuestWrites: true };
    }

    /// <inheritdoc/>
    public override string DriverName => "copy-before-write";

    /// <summary>The copier; <see langword="null"/> before the instant that is kept.</summary>
    public BlockCopy? Copy { get; set; }

    /// <summary>A copy that fails makes the guest's write fail; otherwise the write goes on and what was kept is lost.</summary>
    public bool FailsGuestWrites { get; init; }

    /// <summary>What was copied is discarded below: the node writes there itself, and lets others.</summary>
    public bool DiscardsSource { get; init; }

    /// <summary>Told once that a copy failed, which breaks what was kept and not the write.</summary>
    public Action<CopyOutcome>? Broken { get; set; }

    private BlockChild? Target => Children.Count > 1 ? Children[1] : null;

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared)
    {
        if (child == Target)
        {
            // Others may write it: it may lie in the chain of the guest's disk.
            return (BlockPermission.Write, BlockPermission.All & ~BlockPermission.Resize);
        }

        // Nobody stands above yet: the filter is being put in, beside the users that will move onto it. A backup is a user from its instant on.
        if (Parents.Count == 0 && (_options is not null || Copy is null))
        {
            return (BlockPermission.None, BlockPermission.All);
        }

        if (DiscardsSource)
        {
            return (used | BlockPermission.ConsistentRead | BlockPermission.Write, shared & ~BlockPermission.Resize);
        }

        return ((used & BlockPermission.Write) != 0 ? used | BlockPermission.ConsistentRead : used,
            shared & ~(BlockPermission.Write | BlockPermission.Resize));
    }

    /// <inheritdoc/>
    public override async ValueTask OpenAsync()
    {
        await base.OpenAsync().ConfigureAwait(false);
        if (_options is not null)
        {
            KeepFromNowOn(_options.Bitmap);
        }
    }

    /// <summary>Reads what the disk held when the node was opened.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="buffer">Filled wholly.</param>
    /// <exception cref="BlockIoException">It is not kept (EACCES), or a medium failed.</exception>
    public async ValueTask ReadSnapshotAsync(long offset, Memory<byte> buffer)
    {
        BlockCopy copy = KeptCopy();
        while (!buffer.IsEmpty)
        {
            (bool isCopied, long length, RangeClaim? claim) = await HoldAsync(copy, offset, buffer.Length).ConfigureAwait(false);
            try
            {
                await (isCopied ? Target!.Node : Below).ReadAsync(offset, buffer[..(int)length]).ConfigureAwait(false);
            }
            finally
            {
                Release(copy, claim);
            }

            offset += length;
            buffer = buffer[(int)length..];
        }
    }

    /// <summary>What a reader of the kept state sees over the range's first run.</summary>
    /// <exception cref="BlockIoException">It is not kept (EACCES), or a medium failed.</exception>
    public async ValueTask<BlockStatus> SnapshotStatusAsync(long offset, long length)
    {
        BlockCopy copy = KeptCopy();
        (bool isCopied, length, RangeClaim? claim) = await HoldAsync(copy, offset, length).ConfigureAwait(false);
        try
        {
            return await BlockStatusWalk.StatusAsync(isCopied ? Target!.Node : Below, offset, length).ConfigureAwait(false);
        }
        finally
        {
            Release(copy, claim);
        }
    }

    /// <summary>Ends the keeping of whole units of a range: their space in the target is given back, and they cannot be read any more.</summary>
    /// <exception cref="BlockIoException">The target failed.</exception>
    public async ValueTask DiscardSnapshotAsync(long offset, long length)
    {
        BlockCopy copy = KeptCopy();
        long unit = _accessible!.Granularity;
        long start = (offset + unit - 1) & -unit;
        long end = (offset + length) & -unit;
        if (start >= end)
        {
            return;
        }

        RangeClaim claim = await copy.InFlight.ClaimAsync(start, end - start).ConfigureAwait(false);
        try
        {
            Bitmaps.ResetDirty(_accessible, start, end - start);
            copy.Unmark(start, end - start);
            await Target!.Node.DiscardAsync(start, end - start).ConfigureAwait(false);
        }
        finally
        {
            copy.InFlight.Release(claim);
        }
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        ValueTask before = KeepOldAsync(offset, buffer.Length, flags);
        return before.IsCompletedSuccessfully ? base.DoWriteAsync(offset, buffer, flags) : WriteLaterAsync(before, offset, buffer, flags);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await KeepOldAsync(offset, length, flags).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        await KeepOldAsync(offset, length, BlockWriteFlags.None).ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoTruncateAsync(long sizeBytes)
    {
        if (sizeBytes < SizeBytes)
        {
            await KeepOldAsync(sizeBytes, SizeBytes - sizeBytes, BlockWriteFlags.None).ConfigureAwait(false);
        }

        await base.DoTruncateAsync(sizeBytes).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>A copy that took too long goes on although the write it was made for has been answered.</remarks>
    protected internal override ValueTask WhenIdleAsync() => Copy is { } copy ? new ValueTask(copy.InFlight.WhenPresentEnded()) : default;

    private static void Release(BlockCopy copy, RangeClaim? claim)
    {
        if (claim is not null)
        {
            copy.InFlight.Release(claim);
        }
    }

    private void KeepFromNowOn(DirtyBitmap? only)
    {
        uint unit = (uint)BlockCopy.ClusterSizeFor(Target!.Node, _options!.MinimumClusterBytes);
        _toCopy = Bitmaps.AddAnonymous(unit, dirty: only is null, disabled: true);
        _accessible = Bitmaps.AddAnonymous(unit, dirty: only is null, disabled: true);
        if (only is not null)
        {
            try
            {
                Bitmaps.Merge(_toCopy, [only]);
                Bitmaps.Merge(_accessible, [only]);
            }
            catch (QmpException e)
            {
                throw new QmpException(
                    $"Cannot create block-copy-state: Failed to merge bitmap '{only.Name}' to internal copy-bitmap: {e.Message}");
            }
        }

        Copy = new BlockCopy(Filtered, Target, _toCopy);
    }

    /// <summary>Where the first run of the kept state is, and the claim that keeps it there; none is needed for what was copied.</summary>
    private async ValueTask<(bool IsCopied, long Length, RangeClaim? Claim)> HoldAsync(BlockCopy copy, long offset, long length)
    {
        if (_isBroken || !Bitmaps.IsDirty(_accessible!, offset, offset + length, out length))
        {
            throw new BlockIoException(Errno.EACCES);
        }

        if (!Bitmaps.IsDirty(_toCopy!, offset, offset + length, out length) && copy.IsCopied(offset, length))
        {
            return (true, length, null);
        }

        RangeClaim claim = await copy.ClaimAsync(offset, length).ConfigureAwait(false);
        bool isCopied = !Bitmaps.IsDirty(_toCopy!, offset, offset + length, out length);
        return (isCopied, length, claim);
    }

    private BlockCopy KeptCopy() => _options is not null && Copy is { } copy ? copy : throw new BlockIoException(Errno.ENOTSUP);

    private async ValueTask WriteLaterAsync(ValueTask before, long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await before.ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }

    private ValueTask KeepOldAsync(long offset, long length, BlockWriteFlags flags)
    {
        if (Copy is not { } copy || _isBroken || (flags & BlockWriteFlags.Unchanged) != 0)
        {
            return default;
        }

        ValueTask<CopyOutcome> copied = copy.CopyBeforeWriteAsync(offset, length);
        if (!copied.IsCompletedSuccessfully)
        {
            return KeepOldLaterAsync(copied);
        }

        Check(copied.Result);
        return default;
    }

    private async ValueTask KeepOldLaterAsync(ValueTask<CopyOutcome> copied)
    {
        ValueTask<CopyOutcome> inTime = _options is { Timeout.Ticks: > 0 } ? InTimeAsync(copied.AsTask(), _options) : copied;
        Check(await inTime.ConfigureAwait(false));
    }

    private static async ValueTask<CopyOutcome> InTimeAsync(Task<CopyOutcome> copied, CopyBeforeWriteOptions options)
    {
        try
        {
            return await copied.WaitAsync(options.Timeout, options.Time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return new CopyOutcome(Errno.ETIMEDOUT, IsRead: false);
        }
    }

    private void Check(CopyOutcome outcome)
    {
        if (outcome.Succeeded)
        {
            return;
        }

        if (FailsGuestWrites)
        {
            throw new BlockIoException(outcome.Errno);
        }

        _isBroken = true;
        Broken?.Invoke(outcome);
    }
}
