using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Copy;

namespace Monitor.Jobs.Filters;

/// <summary>Copy mode write-blocking: a guest write goes to the source and to the target before it is acknowledged.</summary>
/// <remarks>
/// The source's log marks the write as any other. Once the target has it too, its granules are made clean again, except those at the
/// ends that the write covers only in part and that were dirty before. Whatever goes wrong leaves them dirty, so nothing is lost and
/// the job copies them later. The range is claimed meanwhile, against the job's own copies and other writes to the same granules.
/// </remarks>
/// <param name="targetDoor">The job's door to the target: if it is closed the range simply stays dirty.</param>
/// <param name="dirty">The job's bitmap on the source.</param>
/// <param name="inFlight">The job's claims.</param>
/// <param name="failed">Told that the target failed.</param>
internal sealed class ActiveMirror(BlockBackend targetDoor, DirtyBitmap dirty, InFlightRanges inFlight, Action<CopyOutcome> failed)
{
    public async ValueTask WriteAsync(GuestWrite write, BlockNode source)
    {
        long unit = dirty.Granularity;
        long end = write.Offset + write.Length;
        RangeClaim claim = await ClaimAsync(write.Offset, write.Length).ConfigureAwait(false);
        try
        {
            long cleanFrom = claim.Offset == write.Offset || !IsDirty(claim.Offset) ? claim.Offset : claim.Offset + unit;
            long cleanTo = claim.End <= end || !IsDirty(claim.End - 1) ? claim.End : end & -unit;
            await write.MakeAsync(source).ConfigureAwait(false);
            if (await TryMirrorAsync(write).ConfigureAwait(false) && cleanFrom < cleanTo)
            {
                dirty.Owner.ResetDirty(dirty, cleanFrom, cleanTo - cleanFrom);
            }
        }
        finally
        {
            inFlight.Release(claim);
        }
    }

    /// <summary>A discard is not mirrored: its range stays dirty, and what the source reads there then is copied later.</summary>
    public async ValueTask DiscardAsync(long offset, long length, BlockNode source)
    {
        RangeClaim claim = await ClaimAsync(offset, length).ConfigureAwait(false);
        try
        {
            await source.DiscardAsync(offset, length).ConfigureAwait(false);
        }
        finally
        {
            inFlight.Release(claim);
        }
    }

    /// <summary>Claims the granules that a range touches.</summary>
    private ValueTask<RangeClaim> ClaimAsync(long offset, long length)
    {
        long unit = dirty.Granularity;
        long start = offset & -unit;
        return inFlight.ClaimAsync(start, Math.Min((offset + length + unit - 1) & -unit, dirty.SizeBytes) - start);
    }

    private bool IsDirty(long offset) => dirty.Owner.IsDirty(dirty, offset, offset + 1, out _);

    private async ValueTask<bool> TryMirrorAsync(GuestWrite write)
    {
        if (!targetDoor.TryEnter())
        {
            return false;
        }

        try
        {
            await write.MakeAsync(targetDoor.Node).ConfigureAwait(false);
            return true;
        }
        catch (BlockIoException e)
        {
            failed(CopyOutcome.WriteFailed(e));
            return false;
        }
        finally
        {
            targetDoor.Exit();
        }
    }
}
