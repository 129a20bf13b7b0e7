using Monitor.Qapi;

namespace Monitor.Block.Drivers.Raw;

/// <summary>The image is its child's bytes, or a window of them (driver <c>raw</c>).</summary>
/// <remarks>Without a size of its own the node is as long as its child behind the offset, and grows with it.</remarks>
public sealed class RawNode : BlockNode
{
    private const int SectorBytes = 512;

    private long? _givenOffset;
    private long? _fixedSize;

    /// <summary>Makes the node; its <c>file</c> child (role <see cref="ChildRole"/>) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="offset">Where the window begins in the child, in bytes.</param>
    /// <param name="size">Bytes of the window, a multiple of 512; <see langword="null"/> for all behind the offset.</param>
    public RawNode(BlockNodeSettings settings, long? offset = null, long? size = null)
        : base(settings)
    {
        _givenOffset = offset;
        _fixedSize = size;
    }

    /// <inheritdoc/>
    public override string DriverName => "raw";

    /// <inheritdoc/>
    public override string FileName => _givenOffset is null && _fixedSize is null ? base.FileName : JsonFileName;

    /// <inheritdoc/>
    public override string OptionsJson =>
        DescribeOptions(new OptionsText(DriverName).Add("size", _fixedSize).Add("offset", _givenOffset)).ToString();

    /// <inheritdoc/>
    public override int RequestAlignment => Below.RequestAlignment;

    private long Offset => _givenOffset ?? 0;

    private BlockChild File => FindChild(BlockChildRole.Primary)!;

    private BlockNode Below => File.Node;

    /// <summary>What the child of a node with these options is to it: all of it shown unchanged, or a window of data.</summary>
    public static BlockChildRole ChildRole(long offset, long? size) =>
        BlockChildRole.Primary | (offset == 0 && size is null ? BlockChildRole.Filtered : BlockChildRole.Data);

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        SetWindow(_givenOffset, _fixedSize);
        return default;
    }

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared)
    {
        // No metadata of its own: it writes and resizes only for its parents.
        (BlockPermission childUsed, BlockPermission childShared) = base.ChildPermissions(child, used, shared);
        return (childUsed & (used | ~(BlockPermission.Write | BlockPermission.Resize)), childShared);
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        BlockStatus below = await BlockStatusWalk.StatusAsync(Below, offset + Offset, length).ConfigureAwait(false);
        return below.IsZero
            ? new BlockMapping(BlockMappingKind.Zero, below.Length)
            : new BlockMapping(BlockMappingKind.Data, below.Length, File, new HostOffset(offset + Offset));
    }

    /// <inheritdoc/>
    public override async ValueTask<int> DescribeAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        int count = await BlockStatusWalk.StatusAsync(Below, offset + Offset, length, runs).ConfigureAwait(false);
        foreach (ref BlockStatus run in runs.Span[..count])
        {
            run = BlockStatus.Of(run.IsZero ? BlockMappingKind.Zero : BlockMappingKind.Data, run.Length);
        }

        return count;
    }

    /// <inheritdoc/>
    public override FileRange? FindFile(long offset, long length) => EndsOutside(offset, length) ? null : Below.FindFile(offset + Offset, length);

    /// <inheritdoc/>
    public override ValueTask PreallocateAsync(long offset, long length, PreallocMode mode) =>
        Below.PreallocateAsync(offset + Offset, length, mode);

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        if (EndsOutside(offset, buffer.Length))
        {
            throw new BlockIoException(Errno.EINVAL);
        }

        BlockNode below = Below;
        below.DebugEvent(BlkdebugEvent.ReadAio);
        return below.ReadAsync(offset + Offset, buffer);
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        CheckWrite(offset, buffer.Length);
        BlockNode below = Below;
        below.DebugEvent(BlkdebugEvent.WriteAio);
        return offset + buffer.Length <= SizeBytes
            ? below.WriteAsync(offset + Offset, buffer, flags)
            : WriteAndGrowAsync(offset, buffer, flags);
    }

    /// <inheritdoc/>
    protected override ValueTask<bool> DoCopyFromAsync(long offset, FileRange source)
    {
        CheckWrite(offset, source.Length);
        return Below.CopyFromAsync(offset + Offset, source);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        CheckWrite(offset, length);
        await Below.WriteZeroesAsync(offset + Offset, length, flags).ConfigureAwait(false);
        GrowSize(offset + length);
    }

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length)
    {
        CheckWrite(offset, length);
        return Below.DiscardAsync(offset + Offset, length);
    }

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync()
    {
        BlockNode below = Below;
        below.DebugEvent(BlkdebugEvent.FlushToOs);
        below.DebugEvent(BlkdebugEvent.FlushToDisk);
        return below.FlushAsync();
    }

    /// <inheritdoc/>
    protected override ValueTask DoTruncateAsync(long sizeBytes) =>
        _fixedSize is null
            ? Below.TruncateAsync(sizeBytes + Offset)
            : throw new BlockIoException(Errno.ENOTSUP, "Cannot resize fixed-size raw disks");

    /// <inheritdoc/>
    protected internal override void FollowChildSize()
    {
        if (_fixedSize is null)
        {
            SetSize(Math.Max(0, AvailableBytes(Offset, null) - Offset));
        }
    }

    /// <inheritdoc/>
    protected internal override void Reconfigure(BlockdevOptions? options)
    {
        if (options is not null)
        {
            SetWindow(options.Raw.Offset, options.Raw.Size);
        }
    }

    private void SetWindow(long? givenOffset, long? size)
    {
        long offset = givenOffset ?? 0;
        long available = AvailableBytes(offset, size);
        if (offset > available)
        {
            throw new QmpException($"Offset ({offset}) cannot be greater than size of the containing file ({available})");
        }

        if (size > available - offset)
        {
            throw new QmpException(
                $"The sum of offset ({offset}) and size ({size}) has to be smaller or equal to the  actual size of the containing file ({available})");
        }

        if (size % SectorBytes is not (null or 0))
        {
            throw new QmpException("Specified size is not multiple of 512");
        }

        (_givenOffset, _fixedSize) = (givenOffset, size);
        SetSize(size ?? (available - offset));
    }

    /// <summary>Bytes of the child; for a window in whole sectors, as QEMU counts them.</summary>
    private long AvailableBytes(long offset, long? size) =>
        offset == 0 && size is null ? Below.SizeBytes : (Below.SizeBytes + SectorBytes - 1) & -SectorBytes;

    private async ValueTask WriteAndGrowAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await Below.WriteAsync(offset + Offset, buffer, flags).ConfigureAwait(false);
        GrowSize(offset + buffer.Length);
    }

    private bool EndsOutside(long offset, long length) => _fixedSize is { } size && offset > size - length;

    private void CheckWrite(long offset, long length)
    {
        if (EndsOutside(offset, length))
        {
            throw new BlockIoException(Errno.ENOSPC);
        }
    }
}
