using Monitor.Block;
using Monitor.Block.Drivers.Filters;

namespace Monitor.Jobs.Filters;

/// <summary>The filter of a mirror: marks where the pivot will happen and, in copy mode write-blocking, mirrors each write.</summary>
internal sealed class MirrorTopNode(BlockNodeSettings settings) : FilterNode(settings)
{
    public override string DriverName => "mirror_top";

    /// <summary>Mirrors writes before they are acknowledged; <see langword="null"/> in copy mode background.</summary>
    public ActiveMirror? Active { get; set; }

    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared) =>
        Parents.Count == 0 ? (BlockPermission.None, BlockPermission.All) : base.ChildPermissions(child, used, shared);

    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        Active is { } active
            ? active.WriteAsync(new GuestWrite(offset, buffer.Length, buffer, flags), Below)
            : base.DoWriteAsync(offset, buffer, flags);

    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) =>
        Active is { } active
            ? active.WriteAsync(new GuestWrite(offset, length, Bytes: null, flags), Below)
            : base.DoWriteZeroesAsync(offset, length, flags);

    protected override ValueTask DoDiscardAsync(long offset, long length) =>
        Active is { } active ? active.DiscardAsync(offset, length, Below) : base.DoDiscardAsync(offset, length);
}
