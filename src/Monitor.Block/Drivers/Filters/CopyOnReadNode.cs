namespace Monitor.Block.Drivers.Filters;

/// <summary>What is read from a backing node is copied up into the image, so that the next read finds it there (driver <c>copy-on-read</c>).</summary>
/// <remarks>
/// A guest's write that comes between is never undone (<see cref="CopyUp"/>), through whichever parent it comes. With a bottom node only
/// what that node or those above it hold is copied; the links down to it are frozen.
/// </remarks>
public sealed class CopyOnReadNode : FilterNode
{
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
            (bool isToBeCopied, long length) = await LookAsync(image, offset, Math.Min(buffer.Length, CopyUp.PieceBytes)).ConfigureAwait(false);
            Memory<byte> part = buffer[..(int)length];
            if (isToBeCopied)
            {
                await CopyUp.ReadAsync(Below, Below.ReadAsync, offset, part).ConfigureAwait(false);
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
}
