using Monitor.Block.Bitmaps;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary><c>qemu:dirty-bitmap:NAME</c>: which bytes a dirty bitmap holds dirty, each answer at one instant.</summary>
internal sealed class NbdBitmapContext(uint id, DirtyBitmap bitmap)
    : NbdContext(id, NbdMetaContextName.QemuDirtyBitmapPrefix + bitmap.Name)
{
    private const uint Dirty = 1;

    /// <inheritdoc/>
    public override ValueTask DescribeAsync(long offset, long length, NbdExtentList extents)
    {
        bitmap.Owner.TellRuns(bitmap, offset, offset + length, (run, isDirty) => extents.TryAdd(run, isDirty ? Dirty : 0));
        return default;
    }
}
