using System.Runtime.CompilerServices;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers;

/// <summary>A node that does I/O generically from two answers of its format: where bytes live, and room for new ones.</summary>
/// <remarks>
/// <para>A read asks <see cref="TryMap"/> (or <see cref="MapLaterAsync"/>) and moves each run: from the child, as zeroes, from the
/// backing node, or decompressed. A write asks <see cref="TryMapInPlace"/>; where that does not know a place the bytes may simply
/// overwrite, it asks <see cref="AllocateAsync"/>, writes the bytes and the copied edges, and links the room.</para>
/// <para>The usual request lies in one mapped run: it takes no lock, allocates nothing and completes at once if the child does.
/// Requests hold a ticket of <see cref="Requests"/> while they use what they looked up, so the format knows when a freed cluster may
/// be used again.</para>
/// </remarks>
public abstract class FormatNode : BlockNode
{
    /// <summary>Bytes written at once where zeroes must be written out.</summary>
    private const int ZeroPieceBytes = 1 << 20;

    /// <summary>Makes a node that has not read its header.</summary>
    protected FormatNode(BlockNodeSettings settings)
        : base(settings)
    {
    }

    /// <summary>Counts the requests that use looked-up clusters.</summary>
    internal GracePeriods Requests { get; } = new();

    /// <summary>Bytes of what the format zeroes by itself: a cluster, or a part of one.</summary>
    protected virtual int UnitSizeBytes => ClusterSizeBytes;

    /// <inheritdoc/>
    public override ValueTask<BlockMapping> MapAsync(long offset, long length) =>
        TryMap(offset, length, out BlockMapping run) ? new ValueTask<BlockMapping>(run) : MapLaterAsync(offset, length);

    /// <summary>Where the range's first run lives, if that is known without I/O and locks.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="mapping">A run; for compressed clusters of one cluster at most, with the format's descriptor as its host position.</param>
    protected abstract bool TryMap(long offset, long length, out BlockMapping mapping);

    /// <summary>Where the range's first run lives, reading tables as needed.</summary>
    /// <exception cref="BlockIoException">The medium failed, or the tables are damaged.</exception>
    protected abstract ValueTask<BlockMapping> MapLaterAsync(long offset, long length);

    /// <summary>Where the range's first run may be overwritten in place, if that is known without I/O and locks.</summary>
    protected abstract bool TryMapInPlace(long offset, long length, out BlockMapping mapping);

    /// <summary>Makes room for the start of a write, or finds that it can go in place.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <exception cref="BlockIoException">No room, the medium failed, or the tables are damaged.</exception>
    protected abstract ValueTask<ClusterAllocation> AllocateAsync(long offset, long length);

    /// <summary>Makes room for the start of a write where the node holds nothing.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <returns><see langword="null"/> where it holds something by now, up to the end of the unit.</returns>
    /// <exception cref="BlockIoException">No room, the medium failed, or the tables are damaged.</exception>
    protected virtual ValueTask<ClusterAllocation?> AllocateEmptyAsync(long offset, long length) => throw new BlockIoException(Errno.ENOTSUP);

    /// <summary>Makes whole clusters at the start of a range read as zeroes by metadata alone, those that hold nothing.</summary>
    /// <returns>Bytes dealt with; 0 where zeroes must be written out up to the end of the unit.</returns>
    protected virtual ValueTask<long> ZeroEmptyAsync(long offset, long length) => throw new BlockIoException(Errno.ENOTSUP);

    /// <summary>Makes the start of a range read as zeroes by metadata alone.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="mayUnmap">Whether the space may be given back.</param>
    /// <returns>Bytes done; 0 where zeroes must be written out up to the end of the unit.</returns>
    protected abstract ValueTask<long> ZeroClustersAsync(long offset, long length, bool mayUnmap);

    /// <summary>Gives the start of a range back.</summary>
    /// <returns>Bytes dealt with, at least 1.</returns>
    protected abstract ValueTask<long> DiscardClustersAsync(long offset, long length);

    /// <summary>Reads from inside a compressed cluster.</summary>
    /// <param name="descriptor">As <see cref="TryMap"/> gave it.</param>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="buffer">Filled wholly; ends within the cluster.</param>
    protected abstract ValueTask ReadCompressedAsync(HostOffset descriptor, long offset, Memory<byte> buffer);

    /// <summary>Stores clusters compressed.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="buffer">Whole clusters, or up to the end of the disk; else EINVAL.</param>
    /// <exception cref="BlockIoException">The format cannot (ENOTSUP), something is stored there already (EIO), no room, or the medium failed.</exception>
    protected virtual ValueTask WriteCompressedAsync(long offset, ReadOnlyMemory<byte> buffer) => throw new BlockIoException(Errno.ENOTSUP);

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        int ticket = Requests.Enter();
        ValueTask read;
        try
        {
            read = TryMap(offset, buffer.Length, out BlockMapping run) && run.Kind == BlockMappingKind.Data && run.Length == buffer.Length
                ? ReadData(run, buffer)
                : Settings.CopiesOnRead && Backing is not null
                ? ReadCopyingUpAsync(offset, buffer)
                : ReadRunsAsync(offset, buffer);
        }
        catch
        {
            Requests.Exit(ticket);
            throw;
        }

        return Leave(read, ticket);
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        if ((flags & BlockWriteFlags.Compressed) != 0)
        {
            return (flags & BlockWriteFlags.Fua) == 0 ? WriteCompressedAsync(offset, buffer) : FlushAfterAsync(WriteCompressedAsync(offset, buffer));
        }

        int ticket = Requests.Enter();
        ValueTask write;
        try
        {
            write = (flags & BlockWriteFlags.CopyUp) != 0 ? CopyUpAsync(offset, buffer)
                : TryMapInPlace(offset, buffer.Length, out BlockMapping run) && run.Length == buffer.Length
                ? WriteData(run.Child!, run.Host, buffer)
                : WriteRunsAsync(offset, buffer);
        }
        catch
        {
            Requests.Exit(ticket);
            throw;
        }

        return (flags & BlockWriteFlags.Fua) == 0 ? Leave(write, ticket) : FlushAfterAsync(Leave(write, ticket));
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        BlockWriteFlags copyUp = flags & BlockWriteFlags.CopyUp;
        for (long end = offset + length; offset < end;)
        {
            ValueTask<long> zeroing = copyUp != 0
                ? ZeroEmptyAsync(offset, end - offset)
                : ZeroClustersAsync(offset, end - offset, (flags & BlockWriteFlags.MayUnmap) != 0);
            long done = await zeroing.ConfigureAwait(false);
            if (done == 0)
            {
                if ((flags & BlockWriteFlags.NoFallback) != 0)
                {
                    throw new BlockIoException(Errno.ENOTSUP);
                }

                done = Math.Min(end - offset, UnitSizeBytes - (offset % UnitSizeBytes));
                await WriteZeroBytesAsync(offset, done, copyUp).ConfigureAwait(false);
            }

            offset += done;
        }

        if ((flags & BlockWriteFlags.Fua) != 0)
        {
            await DoFlushAsync().ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        for (long end = offset + length; offset < end;)
        {
            offset += await DiscardClustersAsync(offset, end - offset).ConfigureAwait(false);
        }
    }

    /// <summary>Writes zeroes out as data.</summary>
    protected async ValueTask WriteZeroBytesAsync(long offset, long length, BlockWriteFlags flags = BlockWriteFlags.None)
    {
        IoBuffer zeroes = IoBufferPool.Rent((int)Math.Min(length, ZeroPieceBytes));
        try
        {
            zeroes.GetSpan().Clear();
            for (long done = 0; done < length;)
            {
                int piece = (int)Math.Min(length - done, zeroes.Capacity);
                await DoWriteAsync(offset + done, zeroes.Memory[..piece], flags).ConfigureAwait(false);
                done += piece;
            }
        }
        finally
        {
            zeroes.Return();
        }
    }

    private static ValueTask ReadData(in BlockMapping run, Memory<byte> buffer)
    {
        BlockNode below = run.Child!.Node;
        below.DebugEvent(BlkdebugEvent.ReadAio);
        return below.ReadAsync(run.Host.Bytes, buffer);
    }

    private static ValueTask WriteData(BlockChild child, HostOffset host, ReadOnlyMemory<byte> buffer)
    {
        BlockNode below = child.Node;
        below.DebugEvent(BlkdebugEvent.WriteAio);
        return below.WriteAsync(host.Bytes, buffer);
    }

    private ValueTask Leave(ValueTask request, int ticket)
    {
        if (!request.IsCompleted)
        {
            return LeaveLaterAsync(request, ticket);
        }

        Requests.Exit(ticket);
        return request;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask LeaveLaterAsync(ValueTask request, int ticket)
    {
        try
        {
            await request.ConfigureAwait(false);
        }
        finally
        {
            Requests.Exit(ticket);
        }
    }

    private async ValueTask FlushAfterAsync(ValueTask write)
    {
        await write.ConfigureAwait(false);
        await DoFlushAsync().ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReadRunsAsync(long offset, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            BlockMapping run = await MapAsync(offset, buffer.Length).ConfigureAwait(false);
            Memory<byte> part = buffer[..(int)run.Length];
            await ReadRunAsync(run, offset, part).ConfigureAwait(false);
            offset += part.Length;
            buffer = buffer[part.Length..];
        }
    }

    private async ValueTask ReadCopyingUpAsync(long offset, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            BlockMapping run = await MapAsync(offset, Math.Min(buffer.Length, CopyUp.PieceBytes)).ConfigureAwait(false);
            Memory<byte> part = buffer[..(int)run.Length];
            if (run.Kind == BlockMappingKind.Backing)
            {
                await CopyUp.ReadAsync(this, ReadRunsAsync, offset, part).ConfigureAwait(false);
            }
            else
            {
                await ReadRunAsync(run, offset, part).ConfigureAwait(false);
            }

            offset += part.Length;
            buffer = buffer[part.Length..];
        }
    }

    private ValueTask ReadRunAsync(in BlockMapping run, long offset, Memory<byte> buffer)
    {
        switch (run.Kind)
        {
            case BlockMappingKind.Data:
                return ReadData(run, buffer);
            case BlockMappingKind.Compressed:
                return ReadCompressedAsync(run.Host, offset, buffer);
            case BlockMappingKind.Backing when Backing is { } backing:
                long below = Math.Clamp(backing.Node.SizeBytes - offset, 0, buffer.Length);
                buffer.Span[(int)below..].Clear();
                FindChild(BlockChildRole.Primary)?.Node.DebugEvent(BlkdebugEvent.ReadBackingAio);
                return below > 0 ? backing.Node.ReadAsync(offset, buffer[..(int)below]) : default;
            default:
                buffer.Span.Clear();
                return default;
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteRunsAsync(long offset, ReadOnlyMemory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int done;
            if (TryMapInPlace(offset, buffer.Length, out BlockMapping run))
            {
                done = (int)run.Length;
                await WriteData(run.Child!, run.Host, buffer[..done]).ConfigureAwait(false);
            }
            else
            {
                ClusterAllocation room = await AllocateAsync(offset, buffer.Length).ConfigureAwait(false);
                done = (int)room.Length;
                await FillAsync(room, offset, buffer[..done]).ConfigureAwait(false);
            }

            offset += done;
            buffer = buffer[done..];
        }
    }

    /// <summary>Writes where nothing is held; what a guest wrote meanwhile stays.</summary>
    private async ValueTask CopyUpAsync(long offset, ReadOnlyMemory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            ClusterAllocation? room = await AllocateEmptyAsync(offset, buffer.Length).ConfigureAwait(false);
            int done = (int)(room?.Length ?? Math.Min(buffer.Length, UnitSizeBytes - (offset % UnitSizeBytes)));
            if (room is not null)
            {
                await FillAsync(room, offset, buffer[..done]).ConfigureAwait(false);
            }

            offset += done;
            buffer = buffer[done..];
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask FillAsync(ClusterAllocation room, long offset, ReadOnlyMemory<byte> data)
    {
        try
        {
            if (room.HeadBytes == 0 && room.TailBytes == 0)
            {
                await WriteData(room.Child, room.Host, data).ConfigureAwait(false);
            }
            else
            {
                await WriteWithEdgesAsync(room, offset, data).ConfigureAwait(false);
            }
        }
        catch
        {
            await room.AbandonAsync().ConfigureAwait(false);
            throw;
        }

        await room.LinkAsync().ConfigureAwait(false);
    }

    /// <summary>One write of the bytes and their copied edges together: cheaper than three, and never a cluster with a hole.</summary>
    private async ValueTask WriteWithEdgesAsync(ClusterAllocation room, long offset, ReadOnlyMemory<byte> data)
    {
        int total = room.HeadBytes + data.Length + room.TailBytes;
        IoBuffer joined = IoBufferPool.Rent(total);
        try
        {
            room.Child.Node.DebugEvent(BlkdebugEvent.CowRead);
            Memory<byte> whole = joined.Memory[..total];
            await ReadRunsAsync(offset - room.HeadBytes, whole[..room.HeadBytes]).ConfigureAwait(false);
            room.Child.Node.DebugEvent(BlkdebugEvent.CowWrite);
            data.CopyTo(whole[room.HeadBytes..]);
            await ReadRunsAsync(offset + data.Length, whole[(room.HeadBytes + data.Length)..]).ConfigureAwait(false);
            await WriteData(room.Child, room.Host + -room.HeadBytes, whole).ConfigureAwait(false);
        }
        finally
        {
            joined.Return();
        }
    }
}
