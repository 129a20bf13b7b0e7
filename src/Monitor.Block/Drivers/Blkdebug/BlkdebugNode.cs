using Monitor.Block.Drivers.Filters;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>A filter that lets requests fail where its rules say (driver <c>blkdebug</c>), for tests of whatever stands above it.</summary>
/// <remarks>The points of work that rules hang on are raised by the nodes above through <see cref="BlockNode.DebugEvent"/>, those about writes here.</remarks>
public sealed class BlkdebugNode : FilterNode
{
    private readonly BlkdebugRules _rules;
    private readonly int _align;
    private readonly BlockPermission _takes;
    private readonly BlockPermission _unshares;

    /// <summary>Makes the node; its <c>image</c> child (role Filtered) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">Rules and limits.</param>
    public BlkdebugNode(BlockNodeSettings settings, BlockdevOptionsBlkdebug options)
        : base(settings)
    {
        _rules = new BlkdebugRules(options.InjectError, options.SetState);
        _align = (int)(options.Align ?? 0);
        _takes = Set(options.TakeChildPerms);
        _unshares = Set(options.UnshareChildPerms);
    }

    /// <inheritdoc/>
    public override string DriverName => "blkdebug";

    /// <inheritdoc/>
    public override int RequestAlignment => Math.Max(_align, base.RequestAlignment);

    /// <inheritdoc/>
    public override void DebugEvent(BlkdebugEvent evt) => _rules.OnEvent(evt);

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared)
    {
        (BlockPermission childUsed, BlockPermission childShared) = base.ChildPermissions(child, used, shared);
        return (childUsed | _takes, childShared & ~_unshares);
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        await MeetRulesAsync(BlkdebugIOType.BlockStatus, offset, length).ConfigureAwait(false);
        return await base.MapAsync(offset, length).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        await MeetRulesAsync(BlkdebugIOType.Read, offset, buffer.Length).ConfigureAwait(false);
        await base.DoReadAsync(offset, buffer).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        _rules.OnEvent(BlkdebugEvent.Pwritev);
        await MeetRulesAsync(BlkdebugIOType.Write, offset, buffer.Length).ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
        _rules.OnEvent(BlkdebugEvent.PwritevDone);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        _rules.OnEvent(BlkdebugEvent.PwritevZero);
        await MeetRulesAsync(BlkdebugIOType.WriteZeroes, offset, length).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
        _rules.OnEvent(BlkdebugEvent.PwritevDone);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        await MeetRulesAsync(BlkdebugIOType.Discard, offset, length).ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoFlushAsync()
    {
        await MeetRulesAsync(BlkdebugIOType.Flush, 0, 0).ConfigureAwait(false);
        await base.DoFlushAsync().ConfigureAwait(false);
    }

    private static BlockPermission Set(IReadOnlyList<Qapi.BlockPermission>? permissions)
    {
        var set = BlockPermission.None;
        foreach (Qapi.BlockPermission permission in permissions ?? [])
        {
            // The wire's enum lists the permissions in the order of their bits.
            set |= (BlockPermission)(1 << (int)permission);
        }

        return set;
    }

    /// <summary>Fails if a rule says so: at once, or like a medium a little later.</summary>
    private async ValueTask MeetRulesAsync(BlkdebugIOType type, long offset, long length)
    {
        if (_rules.Meet(type, offset, length) is not { } rule || rule.Errno == 0)
        {
            return;
        }

        if (rule.Immediately != true)
        {
            await BlockThreads.RunAsync(static () => { }).ConfigureAwait(false);
        }

        throw new BlockIoException((int)(rule.Errno ?? Errno.EIO));
    }
}
