using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using Monitor.Jobs.Copy;

namespace Monitor.Jobs.Filters;

/// <summary>The filter of a backup: before a write changes what is still to be copied, the old bytes go to the target.</summary>
/// <remarks>A copy that fails breaks the backup, never the guest's write; from then on all writes pass.</remarks>
internal sealed class CopyBeforeWriteNode(BlockNodeSettings settings) : FilterNode(settings)
{
    private volatile bool _isBroken;

    public override string DriverName => "copy-before-write";

    /// <summary>The copier; <see langword="null"/> until the backup's instant.</summary>
    public BlockCopy? Copy { get; set; }

    /// <summary>Told once that a copy failed.</summary>
    public Action<CopyOutcome>? Broken { get; set; }

    /// <summary>The edge to the backup's target.</summary>
    private BlockChild? Target => Children.Count > 1 ? Children[1] : null;

    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared)
    {
        const BlockPermission Change = BlockPermission.Write | BlockPermission.Resize;
        if (child == Target)
        {
            return (BlockPermission.Write, BlockPermission.All & ~Change);
        }

        // Nobody stands above yet: the filter is being put in, beside the users that will move onto it.
        if (Parents.Count == 0)
        {
            return (BlockPermission.None, BlockPermission.All);
        }

        return ((used & BlockPermission.Write) != 0 ? used | BlockPermission.ConsistentRead : used, shared & ~Change);
    }

    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        ValueTask before = KeepOldAsync(offset, buffer.Length, flags);
        return before.IsCompletedSuccessfully ? base.DoWriteAsync(offset, buffer, flags) : WriteLaterAsync(before, offset, buffer, flags);
    }

    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await KeepOldAsync(offset, length, flags).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    protected override async ValueTask DoDiscardAsync(long offset, long length)
    {
        await KeepOldAsync(offset, length, BlockWriteFlags.None).ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    private async ValueTask WriteLaterAsync(ValueTask before, long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await before.ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }

    private ValueTask KeepOldAsync(long offset, long length, BlockWriteFlags flags)
    {
        if (Copy is not { } copy || _isBroken || (flags & BlockWriteFlags.Unchanged) != 0)
        {
            return default;
        }

        ValueTask<CopyOutcome> copied = copy.CopyBeforeWriteAsync(offset, length);
        if (!copied.IsCompletedSuccessfully)
        {
            return KeepOldLaterAsync(copied);
        }

        Check(copied.Result);
        return default;
    }

    private async ValueTask KeepOldLaterAsync(ValueTask<CopyOutcome> copied) => Check(await copied.ConfigureAwait(false));

    private void Check(CopyOutcome outcome)
    {
        if (!outcome.Succeeded)
        {
            _isBroken = true;
            Broken?.Invoke(outcome);
        }
    }
}
