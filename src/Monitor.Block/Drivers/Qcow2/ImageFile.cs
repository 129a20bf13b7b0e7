using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The file below an image, as its metadata code sees it: reads, writes, and a sync whose failure is remembered.</summary>
internal sealed class ImageFile(BlockChild child)
{
    private int _syncErrno;

    /// <summary>The edge to the file.</summary>
    public BlockChild Child { get; } = child;

    /// <summary>The edge to the file that holds the guest data, if that is another one: a sync makes it durable first.</summary>
    public BlockChild? Data { get; set; }

    /// <summary>
    /// Told of places, under the allocation lock, before tables there change or they become free: a check that is under way looks at the tables first.
    /// </summary>
    public Func<long, long, ValueTask>? BeforeChange { get; set; }

    /// <summary>Bytes of the file.</summary>
    public long SizeBytes => Child.Node.SizeBytes;

    /// <summary>Whether a sync failed: what it covered may be lost, so no table may be written any more.</summary>
    public bool HasFailed => Volatile.Read(ref _syncErrno) != 0;

    /// <summary>Reads; bytes past the end of the file are zero.</summary>
    /// <param name="offset">Position in the file.</param>
    /// <param name="buffer">Filled wholly.</param>
    /// <param name="evt">What <c>blkdebug</c> calls this step, if it has a word for it.</param>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer, BlkdebugEvent? evt = null)
    {
        Tell(evt);
        int inside = (int)Math.Clamp(SizeBytes - offset, 0, buffer.Length);
        buffer.Span[inside..].Clear();
        return inside > 0 ? Child.Node.ReadAsync(offset, buffer[..inside]) : default;
    }

    /// <summary>Writes metadata.</summary>
    /// <param name="offset">Position in the file.</param>
    /// <param name="buffer">The bytes.</param>
    /// <param name="evt">What <c>blkdebug</c> calls this step, if it has a word for it.</param>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlkdebugEvent? evt = null)
    {
        Tell(evt);
        return Child.Node.WriteAsync(offset, buffer);
    }

    /// <summary>Tells <c>blkdebug</c> of a step of the format's work.</summary>
    public void Tell(BlkdebugEvent? evt)
    {
        if (evt is { } step)
        {
            Child.Node.DebugEvent(step);
        }
    }

    /// <summary>Makes everything written so far durable.</summary>
    /// <exception cref="BlockIoException">This sync failed, or an earlier one did.</exception>
    public async ValueTask FlushAsync()
    {
        ThrowIfFailed();
        Tell(BlkdebugEvent.FlushToOs);
        Tell(BlkdebugEvent.FlushToDisk);
        try
        {
            if (Data is { } data)
            {
                await data.Node.FlushAsync().ConfigureAwait(false);
            }

            await Child.Node.FlushAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            Fail(e.Errno);
            throw;
        }
    }

    /// <summary>Takes note that the image's state on the medium is unknown: from now on no table is written.</summary>
    public void Fail(int errno) => Interlocked.CompareExchange(ref _syncErrno, errno, 0);

    /// <summary>Refuses what builds on data that may be lost.</summary>
    /// <exception cref="BlockIoException">A sync failed.</exception>
    public void ThrowIfFailed()
    {
        if (Volatile.Read(ref _syncErrno) is not 0 and int errno)
        {
            throw new BlockIoException(errno);
        }
    }
}
