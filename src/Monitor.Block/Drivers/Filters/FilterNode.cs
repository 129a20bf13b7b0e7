using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>A node that shows its one filtered child's content: everything passes through, a derived filter changes what it must.</summary>
public abstract class FilterNode(BlockNodeSettings settings) : BlockNode(settings)
{
    /// <summary>What the child of a filter that the client makes is to it.</summary>
    internal const BlockChildRole ChildRole = BlockChildRole.Filtered | BlockChildRole.Primary;

    /// <inheritdoc/>
    public override bool IsFilter => true;

    /// <inheritdoc/>
    public override int RequestAlignment => Below.RequestAlignment;

    /// <inheritdoc/>
    public override int ClusterSizeBytes => Below.ClusterSizeBytes;

    /// <summary>The edge to the node whose content is shown.</summary>
    protected BlockChild Filtered => FindChild(BlockChildRole.Filtered)!;

    /// <summary>The node whose content is shown.</summary>
    protected BlockNode Below => Filtered.Node;

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        SetSize(Below.SizeBytes);
        return default;
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        BlockMapping run = await Below.MapAsync(offset, length).ConfigureAwait(false);
        return run.Kind is BlockMappingKind.Data or BlockMappingKind.Compressed
            ? new BlockMapping(BlockMappingKind.Data, run.Length, Filtered, new HostOffset(offset))
            : run;
    }

    /// <inheritdoc/>
    public override ValueTask PreallocateAsync(long offset, long length, PreallocMode mode) =>
        Below.PreallocateAsync(offset, length, mode);

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) => Below.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        offset + buffer.Length <= SizeBytes ? Below.WriteAsync(offset, buffer, flags) : WriteAndGrowAsync(offset, buffer, flags);

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await Below.WriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
        GrowSize(offset + length);
    }

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) => Below.DiscardAsync(offset, length);

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => Below.FlushAsync();

    /// <inheritdoc/>
    protected override ValueTask DoTruncateAsync(long sizeBytes) => Below.TruncateAsync(sizeBytes);

    /// <inheritdoc/>
    protected internal override void FollowChildSize() => SetSize(Below.SizeBytes);

    /// <inheritdoc/>
    protected internal override void Reconfigure(Qapi.BlockdevOptions? options) => FollowChildSize();

    private async ValueTask WriteAndGrowAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await Below.WriteAsync(offset, buffer, flags).ConfigureAwait(false);
        GrowSize(offset + buffer.Length);
    }
}
