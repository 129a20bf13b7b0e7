using Monitor.Block.Io;

namespace Monitor.Block.Drivers.Filters;

/// <summary>What is read from a backing node is copied up into the image, so that the next read finds it there (driver <c>copy-on-read</c>).</summary>
/// <remarks>
/// Whole clusters are read and written with <see cref="BlockWriteFlags.CopyUp"/>: the image takes them only if it still holds nothing there,
/// so a guest's write that comes between is never undone, through whichever parent it comes. With a bottom node only what that node
/// or those above it hold is copied; the links down to it are frozen.
/// </remarks>
public sealed class CopyOnReadNode : FilterNode
{
    /// <summary>Most bytes copied up at once.</summary>
    private const int PieceBytes = 1 << 20;

    private const BlockPermission PassedOn = BlockPermission.ConsistentRead | BlockPermission.Write | BlockPermission.Resize;

    private readonly Func<BlockNode>? _findBottom;
    private BlockNode? _bottom;
    private FrozenChain? _frozen;

    /// <summary>Makes the node; its <c>file</c> child (role Filtered) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="findBottom">Finds the last node of the chain that is copied from, once the node is attached; <see langword="null"/> for the whole chain.</param>
    public CopyOnReadNode(BlockNodeSettings settings, Func<BlockNode>? findBottom = null)
        : base(settings) => _findBottom = findBottom;

    /// <inheritdoc/>
    public override string DriverName => "copy-on-read";

    /// <inheritdoc/>
    public override string FileName => JsonFileName;

    /// <inheritdoc/>
    public override bool SupportsCompression => Below.SupportsCompression;

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared) =>
        ((used & PassedOn) | BlockPermission.WriteUnchanged, (shared & PassedOn) | BlockPermission.WriteUnchanged);

    /// <inheritdoc/>
    protected internal override void OnAttached()
    {
        _bottom = _findBottom?.Invoke();
        _frozen = _bottom is null ? null : FrozenChain.Freeze(this, _bottom);
    }

    /// <inheritdoc/>
    protected internal override void OnReleased() => _frozen?.Dispose();

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        BlockNode image = Below.SkipFilters();
        if (image.Backing is null)
        {
            return base.DoReadAsync(offset, buffer);
        }

        ValueTask<BlockMapping> map = image.MapAsync(offset, buffer.Length);
        return map.IsCompletedSuccessfully && map.Result is var run && run.Kind != BlockMappingKind.Backing && run.Length == buffer.Length
            ? base.DoReadAsync(offset, buffer)
            : ReadRunsAsync(image, offset, buffer);
    }

    private async ValueTask ReadRunsAsync(BlockNode image, long offset, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            (bool isToBeCopied, long length) = await LookAsync(image, offset, Math.Min(buffer.Length, PieceBytes)).ConfigureAwait(false);
            Memory<byte> part = buffer[..(int)length];
            if (isToBeCopied)
            {
                await CopyUpAsync(image, offset, part).ConfigureAwait(false);
            }
            else
            {
                await base.DoReadAsync(offset, part).ConfigureAwait(false);
            }

            offset += length;
            buffer = buffer[(int)length..];
        }
    }

    private async ValueTask<(bool IsToBeCopied, long Length)> LookAsync(BlockNode image, long offset, long length)
    {
        BlockMapping run = await image.MapAsync(offset, length).ConfigureAwait(false);
        if (run.Kind != BlockMappingKind.Backing || _bottom is null)
        {
            return (run.Kind == BlockMappingKind.Backing, run.Length);
        }

        if (_bottom == image)
        {
            return (false, run.Length);
        }

        BlockNode? basis = _bottom.Backing?.Node.SkipFilters();
        BlockStatus status = await BlockStatusWalk.StatusAsync(image.Backing!.Node, offset, run.Length, basis).ConfigureAwait(false);
        return (status.IsAllocated, status.Length);
    }

    private ValueTask PutAsync(long offset, ReadOnlyMemory<byte> clusters)
    {
        const BlockWriteFlags Flags = BlockWriteFlags.Unchanged | BlockWriteFlags.CopyUp;
        return clusters.Span.IndexOfAnyExcept((byte)0) < 0
            ? Below.WriteZeroesAsync(offset, clusters.Length, Flags)
            : Below.WriteAsync(offset, clusters, Flags);
    }

    /// <summary>Reads whole clusters, copies them up, and gives the part that was asked for.</summary>
    private async ValueTask CopyUpAsync(BlockNode image, long offset, Memory<byte> part)
    {
        long cluster = Math.Max(1, image.ClusterSizeBytes);
        long start = offset / cluster * cluster;
        long end = Math.Min((offset + part.Length + cluster - 1) / cluster * cluster, SizeBytes);
        IoBuffer buffer = IoBufferPool.Rent((int)(end - start));
        try
        {
            Memory<byte> whole = buffer.Memory[..(int)(end - start)];
            await Below.ReadAsync(start, whole).ConfigureAwait(false);
            await PutAsync(start, whole).ConfigureAwait(false);
            whole.Slice((int)(offset - start), part.Length).CopyTo(part);
        }
        finally
        {
            buffer.Return();
        }
    }
}
