using Monitor.Block.Bitmaps;
using Monitor.Nbd;

namespace Monitor.Storage.Exports;

/// <summary><c>qemu:dirty-bitmap:NAME</c>: which bytes a dirty bitmap holds dirty.</summary>
internal sealed class NbdBitmapContext(uint id, DirtyBitmap bitmap)
    : NbdContext(id, NbdMetaContextName.QemuDirtyBitmapPrefix + bitmap.Name)
{
    private const uint Dirty = 1;

    /// <inheritdoc/>
    public override ValueTask DescribeAsync(long offset, long length, NbdExtentList extents)
    {
        long end = offset + length;
        while (offset < end)
        {
            bool dirty = bitmap.Owner.IsDirty(bitmap, offset, end, out long run);
            if (!extents.TryAdd(run, dirty ? Dirty : 0))
            {
                break;
            }

            offset += run;
        }

        return default;
    }
}
