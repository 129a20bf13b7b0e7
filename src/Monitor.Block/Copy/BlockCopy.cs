using System.Numerics;
using Monitor.Block.Bitmaps;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Copy;

/// <summary>Moves bytes from one node to another, led by a bitmap of what is still to be copied. All copying of all jobs goes through here.</summary>
/// <remarks>
/// <para>The idea: who copies a range first claims it (<see cref="InFlightRanges"/>), then clears its bits, then reads, then writes,
/// then ends the claim; a failed copy sets the bits again before. So a bit that is clear and not claimed means "copied", two copies of one range
/// never overlap, and a write that lands after its bit was cleared (mirror) sets it again.</para>
/// <para>Example, backup: the worker claims [0, 64 Ki), clears the bit, reads. A guest write to the same cluster finds the bit clear
/// but the range claimed, waits, and goes on once the old bytes are in the target. Had the worker not come yet, the write would have
/// found the bit set, claimed the cluster and copied it itself.</para>
/// <para>The caller is inside every door it needs. Cost: a read, a write, two short locks and a bitmap lookup per chunk.</para>
/// </remarks>
public sealed class BlockCopy
{
    /// <summary>The smallest cluster, and what is assumed of a target that has none.</summary>
    public const int DefaultClusterSize = 64 << 10;

    private const ulong MaximumClusterSize = 64 << 20;

    /// <summary>Most bytes in one buffer: larger single writes to a new file were three times slower (measured).</summary>
    private const int MaximumChunk = 256 << 10;

    /// <summary>Most bytes that the kernel is asked to copy at once: from here on it is as fast as <c>cp</c> (measured).</summary>
    private const int MaximumRange = 1 << 20;

    /// <summary>How far to look for the end of a zero run, which is then one chunk; a guest's write may have to wait for it.</summary>
    private const long LookAhead = 64 << 20;

    private readonly Lock _lock = new();
    private readonly BlockChild _source;
    private readonly BlockChild _target;
    private readonly NodeBitmaps _bitmaps;
    private readonly DirtyBitmap _dirty;
    private readonly Action<long>? _copied;
    private readonly long _sizeBytes;
    private readonly int _unit;
    private readonly int _piece;
    private readonly int _chunk;
    private volatile bool _usesCopyRange;
    private long _cursor;
    private long _zeroFrom;
    private long _zeroTo;

    /// <summary>Makes a copier; nothing is copied yet.</summary>
    /// <param name="source">The edge to the node that is read.</param>
    /// <param name="target">The edge to the node that is written.</param>
    /// <param name="dirty">What is to be copied; its granularity is the unit of copying.</param>
    /// <param name="copied">Told of bytes copied.</param>
    /// <param name="maximumChunkBytes">Most bytes copied at once; 0 leaves it to us.</param>
    /// <param name="usesCopyRange">The kernel is asked to copy between files, until it once does not. Not with flags of data writes.</param>
    public BlockCopy(
        BlockChild source, BlockChild target, DirtyBitmap dirty, Action<long>? copied = null, long maximumChunkBytes = 0, bool usesCopyRange = false)
    {
        _source = source;
        _target = target;
        _bitmaps = dirty.Owner;
        _dirty = dirty;
        _copied = copied;
        _sizeBytes = source.Node.SizeBytes;
        _unit = (int)dirty.Granularity;
        _usesCopyRange = usesCopyRange;
        _piece = WholeUnits(maximumChunkBytes, MaximumChunk);
        _chunk = usesCopyRange ? WholeUnits(maximumChunkBytes, MaximumRange) : _piece;
    }

    /// <summary>Bytes of the source, and of the target.</summary>
    public long SizeBytes => _sizeBytes;

    /// <summary>The ranges being copied now.</summary>
    public InFlightRanges InFlight { get; } = new();

    /// <summary>Zero ranges are left out: the target reads zero there already and nothing was copied there before.</summary>
    public bool SkipZeroes { get; init; }

    /// <summary>Flags of data writes (compression).</summary>
    public BlockWriteFlags WriteFlags { get; init; }

    /// <summary>Flags of zero writes (unmap).</summary>
    public BlockWriteFlags ZeroFlags { get; init; }

    /// <summary>What was copied is discarded in the source: nobody needs it there any more.</summary>
    public bool DiscardsSource { get; init; }

    /// <summary>The unit of copying for a target: its cluster size, at least 64 KiB and what the client wants.</summary>
    /// <param name="target">The target.</param>
    /// <param name="minimumBytes">What the client wants; 0 for nothing.</param>
    /// <exception cref="QmpException">It is no power of two, or too large.</exception>
    public static int ClusterSizeFor(BlockNode target, ulong minimumBytes = 0)
    {
        if (minimumBytes != 0 && !BitOperations.IsPow2(minimumBytes))
        {
            throw new QmpException("min-cluster-size needs to be a power of 2");
        }

        return minimumBytes > MaximumClusterSize
            ? throw new QmpException($"min-cluster-size too large: {minimumBytes} > {MaximumClusterSize}")
            : Math.Max(Math.Max(DefaultClusterSize, target.ClusterSizeBytes), (int)minimumBytes);
    }

    /// <summary>Bytes still to be copied, those being copied not counted.</summary>
    public long CountDirtyBytes() => _bitmaps.CountDirtyBytes(_dirty);

    /// <summary>How many workers that many dirty bytes keep busy, at most.</summary>
    public int ChunksFor(long dirtyBytes) => (int)Math.Min(int.MaxValue, (dirtyBytes + _chunk - 1) / _chunk);

    /// <summary>Claims the next dirty chunk, in order of offset and round again, and clears its bits.</summary>
    /// <param name="claim">The chunk; ended by <see cref="CopyAsync"/>.</param>
    /// <param name="busy">If all that is dirty is claimed by others: completes when one of them has ended.</param>
    public bool TryTake([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out RangeClaim? claim, out Task? busy)
    {
        lock (_lock)
        {
            busy = null;
            claim = TryTakeWithin(_cursor, _sizeBytes, ref busy) ?? TryTakeWithin(0, _cursor, ref busy);
            if (claim is null)
            {
                return false;
            }

            _cursor = claim.End;
            return true;
        }
    }

    /// <summary>Copies what <see cref="TryTake"/> gave, and ends the claim. On failure the whole range is dirty again.</summary>
    public async ValueTask<CopyOutcome> CopyAsync(RangeClaim claim)
    {
        try
        {
            CopyOutcome outcome = await CopyTakenAsync(claim.Offset, claim.Length).ConfigureAwait(false);
            if (outcome.EndsInZeroes && claim.End < _sizeBytes)
            {
                await LookAheadAsync(claim.End).ConfigureAwait(false);
            }

            return outcome;
        }
        finally
        {
            InFlight.Release(claim);
        }
    }

    /// <summary>Sees to it that what a write is about to change has been copied. On failure it is still dirty.</summary>
    public ValueTask<CopyOutcome> CopyBeforeWriteAsync(long offset, long length)
    {
        long start = offset & -(long)_unit;
        long end = Math.Min(AlignUp(offset + length, _unit), _sizeBytes);

        return IsCopied(start, end - start) ? default : CopyBeforeWriteLaterAsync(start, end);
    }

    /// <summary>Whether a range is known to need no copying any more; a claim tells for sure.</summary>
    public bool IsCopied(long offset, long length)
    {
        // A clean bit means "copied" unless a copy is under way. One that was, and failed since, has made the bit dirty again.
        int releases = InFlight.Releases;
        return !_bitmaps.NextDirtyArea(_dirty, offset, offset + length, _unit, out _, out _)
            && !InFlight.Overlaps(offset, length)
            && InFlight.Releases == releases;
    }

    /// <summary>Claims the units that a range touches.</summary>
    public ValueTask<RangeClaim> ClaimAsync(long offset, long length)
    {
        long start = offset & -(long)_unit;
        return InFlight.ClaimAsync(start, Math.Min(AlignUp(offset + length, _unit), _sizeBytes) - start);
    }

    /// <summary>What a reader of the source sees from <paramref name="offset"/> on; a map that cannot be read counts as data, and the read will tell.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes to look at.</param>
    /// <param name="basis">Where the layers end that count as allocated; <see langword="null"/> for the whole chain.</param>
    public async ValueTask<BlockStatus> StatusAsync(long offset, long length, BlockNode? basis)
    {
        try
        {
            return await BlockStatusWalk.StatusAsync(_source.Node, offset, length, basis).ConfigureAwait(false);
        }
        catch (BlockIoException)
        {
            return new BlockStatus(length, IsZero: false, IsData: true, IsAllocated: true, Depth: 0);
        }
    }

    /// <summary>Makes a range dirty: it is to be copied. Claims it, for an active mirror relies on what it saw clean staying so.</summary>
    public async ValueTask MarkAsync(long offset, long length)
    {
        RangeClaim claim = await ClaimAsync(offset, length).ConfigureAwait(false);
        _bitmaps.SetDirty(_dirty, offset, length);
        InFlight.Release(claim);
    }

    /// <summary>Makes the whole units of a range clean: they are not to be copied. Only for a bitmap that records no writes.</summary>
    public void Unmark(long offset, long length)
    {
        long start = AlignUp(offset, _unit);
        long end = offset + length >= _sizeBytes ? _sizeBytes : (offset + length) & -(long)_unit;
        if (start < end)
        {
            _bitmaps.ResetDirty(_dirty, start, end - start);
        }
    }

    private int WholeUnits(long wantedBytes, int limit) =>
        (int)Math.Max(_unit, (wantedBytes > 0 ? Math.Min(wantedBytes, limit) : limit) / _unit * _unit);

    private static long AlignUp(long value, int unit) => (value + unit - 1) & -(long)unit;

    /// <summary>Claims an area that was dirty a moment ago, and clears its bits.</summary>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes, whole units or up to the size.</param>
    /// <param name="busyEnd">Where the claim in the way ends, if there is one.</param>
    /// <param name="busy">Completes when that claim is given back.</param>
    /// <returns>Null if a claim is in the way, or the area is not dirty all over any more.</returns>
    internal RangeClaim? TryTakeArea(long offset, long length, out long busyEnd, out Task? busy)
    {
        if (InFlight.TryClaim(offset, length, out busyEnd, out busy) is not { } claim)
        {
            return null;
        }

        // Rounded up, for the last unit of the disk may be a short one.
        bool isDirty = _bitmaps.TakeDirtyArea(_dirty, offset, offset + length, AlignUp(length, _unit), out long taken, out long takenLength);
        if (isDirty && (taken, takenLength) == (offset, length))
        {
            return claim;
        }

        // Before the claim a guest's write had some of it copied, and has changed it since: that must not be copied again.
        if (isDirty)
        {
            _bitmaps.SetDirty(_dirty, taken, takenLength);
        }

        InFlight.Release(claim);
        return null;
    }

    private RangeClaim? TryTakeWithin(long start, long end, ref Task? busy)
    {
        while (start < end && _bitmaps.NextDirtyArea(_dirty, start, end, Math.Max(_chunk, LookAhead), out long offset, out long length))
        {
            if (TryTakeArea(offset, Math.Min(length, ChunkAt(offset)), out long busyEnd, out Task? inTheWay) is { } claim)
            {
                return claim;
            }

            busy ??= inTheWay;
            start = Math.Max(start, busyEnd);
        }

        return null;
    }

    /// <summary>Most bytes to take at an offset: more than a chunk only where zeroes are expected. Whole units.</summary>
    private long ChunkAt(long offset)
    {
        bool isZero = offset >= _zeroFrom && offset < _zeroTo;
        return isZero ? Math.Max(_chunk, (_zeroTo - offset) & -(long)_unit) : _chunk;
    }

    /// <summary>Notes how far the zeroes go on. No more than a hint: what is taken is looked at again before it is copied.</summary>
    private async ValueTask LookAheadAsync(long offset)
    {
        BlockStatus status = await StatusAsync(offset, Math.Min(LookAhead, _sizeBytes - offset), basis: null).ConfigureAwait(false);
        lock (_lock)
        {
            _zeroFrom = offset;
            _zeroTo = status.IsZero ? offset + status.Length : offset;
        }
    }

    private async ValueTask<CopyOutcome> CopyBeforeWriteLaterAsync(long start, long end)
    {
        RangeClaim claim = await InFlight.ClaimAsync(start, end - start).ConfigureAwait(false);
        try
        {
            while (_bitmaps.TakeDirtyArea(_dirty, start, end, _chunk, out long offset, out long length))
            {
                CopyOutcome outcome = await CopyTakenAsync(offset, length).ConfigureAwait(false);
                if (!outcome.Succeeded)
                {
                    return outcome;
                }
            }

            return default;
        }
        finally
        {
            InFlight.Release(claim);
        }
    }

    private async ValueTask<CopyOutcome> CopyTakenAsync(long offset, long length)
    {
        CopyOutcome outcome = await CopyRunsAsync(offset, offset + length).ConfigureAwait(false);
        if (outcome.Succeeded)
        {
            await DiscardSourceAsync(offset, length).ConfigureAwait(false);
            _copied?.Invoke(length);
        }
        else
        {
            _bitmaps.SetDirty(_dirty, offset, length);
        }

        return outcome;
    }

    /// <summary>Gives the copied range back, still claimed: a guest's write to it comes after. No more than a hint.</summary>
    private async ValueTask DiscardSourceAsync(long offset, long length)
    {
        if (!DiscardsSource)
        {
            return;
        }

        try
        {
            await _source.Node.DiscardAsync(offset, length).ConfigureAwait(false);
        }
        catch (BlockIoException)
        {
            // It costs space and nothing else.
        }
    }

    /// <summary>Copies run by run of the allocation map, every run in whole units: a unit that is data in part is copied as data.</summary>
    private async ValueTask<CopyOutcome> CopyRunsAsync(long offset, long end)
    {
        IoBuffer? buffer = null;
        CopyOutcome outcome = default;
        try
        {
            while (offset < end && outcome.Succeeded)
            {
                BlockStatus status = await StatusAsync(offset, end - offset, basis: null).ConfigureAwait(false);
                long run = status.Length >= end - offset ? end - offset : status.Length & -(long)_unit;
                if (status.IsZero && run > 0)
                {
                    outcome = await ZeroAsync(offset, run).ConfigureAwait(false);
                }
                else
                {
                    run = Math.Min(AlignUp(offset + Math.Max(1, status.Length), _unit), end) - offset;
                    if (!await TryCopyRangeAsync(offset, run).ConfigureAwait(false))
                    {
                        run = Math.Min(run, _piece);
                        buffer ??= IoBufferPool.Rent(_piece);
                        outcome = await MoveAsync(offset, buffer.Memory[..(int)run]).ConfigureAwait(false);
                    }
                }

                offset += run;
            }

            return outcome;
        }
        finally
        {
            buffer?.Return();
        }
    }

    /// <summary>Has the kernel copy, if both sides are files below. What goes wrong there is left to a read and a write, which say which side it was.</summary>
    private async ValueTask<bool> TryCopyRangeAsync(long offset, long length)
    {
        if (!_usesCopyRange || offset + length > _target.Node.SizeBytes || _source.Node.FindFile(offset, length) is not { } range)
        {
            return false;
        }

        try
        {
            bool isCopied = await _target.Node.CopyFromAsync(offset, range).ConfigureAwait(false);
            if (!isCopied)
            {
                _usesCopyRange = false;
            }

            return isCopied;
        }
        catch (BlockIoException)
        {
            _usesCopyRange = false;
            return false;
        }
    }

    private async ValueTask<CopyOutcome> MoveAsync(long offset, Memory<byte> buffer)
    {
        try
        {
            await _source.Node.ReadAsync(offset, buffer).ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            return CopyOutcome.ReadFailed(e);
        }

        if (offset + buffer.Length > _target.Node.SizeBytes)
        {
            return CopyOutcome.WriteFailed(new BlockIoException(Errno.EIO));
        }

        try
        {
            await _target.Node.WriteAsync(offset, buffer, WriteFlags).ConfigureAwait(false);
            return default;
        }
        catch (BlockIoException e)
        {
            return CopyOutcome.WriteFailed(e);
        }
    }

    private async ValueTask<CopyOutcome> ZeroAsync(long offset, long length)
    {
        if (SkipZeroes)
        {
            return CopyOutcome.Zeroed;
        }

        if (offset + length > _target.Node.SizeBytes)
        {
            return CopyOutcome.WriteFailed(new BlockIoException(Errno.EIO));
        }

        try
        {
            await _target.Node.WriteZeroesAtRootAsync(offset, length, ZeroFlags).ConfigureAwait(false);
            return CopyOutcome.Zeroed;
        }
        catch (BlockIoException e)
        {
            return CopyOutcome.WriteFailed(e);
        }
    }
}
