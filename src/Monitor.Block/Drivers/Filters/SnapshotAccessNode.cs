namespace Monitor.Block.Drivers.Filters;

/// <summary>Shows what a disk held when the <see cref="CopyBeforeWriteNode"/> below was opened (driver <c>snapshot-access</c>), while its guest goes on writing.</summary>
/// <remarks>
/// It asks for no permissions: the node below answers for the state it keeps. A discard ends the keeping of a range, which then
/// cannot be read any more; nothing else may be written. Above any other node every request is refused.
/// </remarks>
/// <param name="settings">The options every node has.</param>
public sealed class SnapshotAccessNode(BlockNodeSettings settings) : BlockNode(settings)
{
    /// <inheritdoc/>
    public override string DriverName => "snapshot-access";

    /// <inheritdoc/>
    public override string FileName => Below.FileName;

    private BlockNode Below => FindChild(BlockChildRole.Primary)!.Node;

    private CopyBeforeWriteNode Source => Below as CopyBeforeWriteNode ?? throw new BlockIoException(Errno.ENOTSUP);

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared) => (BlockPermission.None, BlockPermission.All);

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        SetSize(Below.SizeBytes);
        return default;
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        BlockStatus status = await Source.SnapshotStatusAsync(offset, length).ConfigureAwait(false);
        return new BlockMapping(status.IsZero ? BlockMappingKind.Zero : BlockMappingKind.Data, status.Length, null, new HostOffset(offset));
    }

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) => Source.ReadSnapshotAsync(offset, buffer);

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        throw new BlockIoException(Errno.ENOTSUP);

    /// <inheritdoc/>
    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) =>
        throw new BlockIoException(Errno.ENOTSUP);

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) => Source.DiscardSnapshotAsync(offset, length);

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => default;
}
