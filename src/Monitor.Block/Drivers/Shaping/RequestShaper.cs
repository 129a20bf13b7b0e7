using System.Runtime.CompilerServices;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Shaping;

/// <summary>Makes requests of any position and length into such as a medium takes: whole blocks, not too long.</summary>
/// <remarks>
/// A request that fits goes through as it is. One that is too long goes in parts, one after the other. A block that a write covers in
/// part is read first; such a write works alone (<see cref="WriteOrder"/>), for another write to the same block would be undone.
/// Example, with blocks of 512 bytes: a write of 1000 bytes at 100 reads block 0, writes it, reads block 2, writes it, and
/// between them writes block 1 straight from the caller's memory. Cost: the order is kept only where there are blocks, one short lock
/// when a write begins and one when it ends.
/// </remarks>
internal sealed class RequestShaper(IShapedMedium medium, RequestLimits limits)
{
    private const int LongestZeroBuffer = 1 << 20;

    private readonly WriteOrder _order = new();

    /// <summary>What the medium takes.</summary>
    public RequestLimits Limits => limits;

    /// <summary>Reads.</summary>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer) =>
        IsWhole(offset, buffer.Length) && buffer.Length <= limits.MaxTransfer
            ? medium.ReadBlocksAsync(offset, buffer)
            : ReadPartsAsync(offset, buffer);

    /// <summary>Writes.</summary>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        limits.Alignment == 1 && buffer.Length <= limits.MaxTransfer
            ? medium.WriteBlocksAsync(offset, buffer, flags)
            : WriteInOrderAsync(offset, buffer, flags);

    /// <summary>Zeroes; what is no whole unit, or all if the medium cannot, is written as bytes unless <see cref="BlockWriteFlags.NoFallback"/> forbids.</summary>
    public async ValueTask WriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        int unit = Math.Max(limits.ZeroAlignment, limits.Alignment);
        int most = Math.Max(unit, limits.MaxZero / unit * unit);
        while (length > 0)
        {
            (long part, bool whole) = NextPart(offset, length, unit, most);
            if (!whole || !await TryZeroAsync(offset, part, flags).ConfigureAwait(false))
            {
                await WriteZeroBytesAsync(offset, part, flags).ConfigureAwait(false);
            }

            offset += part;
            length -= part;
        }
    }

    /// <summary>Discards the whole units of a range.</summary>
    public async ValueTask DiscardAsync(long offset, long length)
    {
        int unit = Math.Max(limits.DiscardAlignment, limits.Alignment);
        int most = Math.Max(unit, limits.MaxDiscard / unit * unit);
        while (length > 0)
        {
            (long part, bool whole) = NextPart(offset, length, unit, most);
            if (whole)
            {
                await medium.DiscardBlocksAsync(offset, part).ConfigureAwait(false);
            }

            offset += part;
            length -= part;
        }
    }

    private static (long Part, bool Whole) NextPart(long offset, long length, int unit, int most)
    {
        long head = offset % unit;
        return head != 0 ? (Math.Min(unit - head, length), false)
            : length < unit ? (length, false)
            : (Math.Min(length - (length % unit), most), true);
    }

    private bool IsWhole(long offset, int length) => ((offset | (long)length) & (limits.Alignment - 1)) == 0;

    private async ValueTask ReadPartsAsync(long offset, Memory<byte> buffer)
    {
        while (buffer.Length > 0)
        {
            int skipped = (int)(offset & (limits.Alignment - 1));
            int part;
            if (skipped == 0 && buffer.Length >= limits.Alignment)
            {
                part = Math.Min(buffer.Length & -limits.Alignment, limits.MaxTransfer);
                await medium.ReadBlocksAsync(offset, buffer[..part]).ConfigureAwait(false);
            }
            else
            {
                part = Math.Min(buffer.Length, limits.Alignment - skipped);
                using IoBuffer block = IoBufferPool.Rent(limits.Alignment);
                await medium.ReadBlocksAsync(offset - skipped, block.Memory[..limits.Alignment]).ConfigureAwait(false);
                block.Memory.Slice(skipped, part).CopyTo(buffer);
            }

            offset += part;
            buffer = buffer[part..];
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteInOrderAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        bool whole = IsWhole(offset, buffer.Length);
        await _order.EnterAsync(alone: !whole).ConfigureAwait(false);
        try
        {
            if (whole && buffer.Length <= limits.MaxTransfer)
            {
                await medium.WriteBlocksAsync(offset, buffer, flags).ConfigureAwait(false);
            }
            else
            {
                await WritePartsAsync(offset, buffer, flags).ConfigureAwait(false);
            }
        }
        finally
        {
            _order.Exit();
        }
    }

    private async ValueTask WritePartsAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        bool isHead = true;
        while (buffer.Length > 0)
        {
            int skipped = (int)(offset & (limits.Alignment - 1));
            int part;
            if (skipped == 0 && buffer.Length >= limits.Alignment)
            {
                part = Math.Min(buffer.Length & -limits.Alignment, limits.MaxTransfer);
                await medium.WriteBlocksAsync(offset, buffer[..part], flags).ConfigureAwait(false);
            }
            else
            {
                part = Math.Min(buffer.Length, limits.Alignment - skipped);
                await ChangeBlockAsync(offset - skipped, skipped, buffer[..part], flags, isHead).ConfigureAwait(false);
            }

            isHead = false;
            offset += part;
            buffer = buffer[part..];
        }
    }

    private async ValueTask ChangeBlockAsync(long start, int skipped, ReadOnlyMemory<byte> bytes, BlockWriteFlags flags, bool isHead)
    {
        using IoBuffer buffer = IoBufferPool.Rent(limits.Alignment);
        Memory<byte> block = buffer.Memory[..limits.Alignment];
        await medium.ReachAsync(isHead ? BlkdebugEvent.PwritevRmwHead : BlkdebugEvent.PwritevRmwTail).ConfigureAwait(false);
        await medium.ReadBlocksAsync(start, block).ConfigureAwait(false);
        await medium.ReachAsync(isHead ? BlkdebugEvent.PwritevRmwAfterHead : BlkdebugEvent.PwritevRmwAfterTail).ConfigureAwait(false);
        bytes.CopyTo(block[skipped..]);
        await medium.WriteBlocksAsync(start, block, flags).ConfigureAwait(false);
    }

    private async ValueTask<bool> TryZeroAsync(long offset, long length, BlockWriteFlags flags)
    {
        await _order.EnterAsync(alone: false).ConfigureAwait(false);
        try
        {
            await medium.ZeroBlocksAsync(offset, length, flags).ConfigureAwait(false);
            return true;
        }
        catch (BlockIoException e) when (e.Errno == Errno.ENOTSUP && (flags & BlockWriteFlags.NoFallback) == 0)
        {
            return false;
        }
        finally
        {
            _order.Exit();
        }
    }

    private async ValueTask WriteZeroBytesAsync(long offset, long length, BlockWriteFlags flags)
    {
        if ((flags & BlockWriteFlags.NoFallback) != 0)
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        int most = Math.Min(LongestZeroBuffer, limits.MaxTransfer);
        using IoBuffer zeroes = IoBufferPool.Rent((int)Math.Min(length, most));
        zeroes.GetSpan().Clear();
        while (length > 0)
        {
            int part = (int)Math.Min(length, most);
            await WriteAsync(offset, zeroes.Memory[..part], flags & BlockWriteFlags.Fua).ConfigureAwait(false);
            offset += part;
            length -= part;
        }
    }
}
