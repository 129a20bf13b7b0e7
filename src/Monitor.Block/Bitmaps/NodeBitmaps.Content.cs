using Monitor.Qapi;

namespace Monitor.Block.Bitmaps;

public sealed partial class NodeBitmaps
{
    /// <summary>Dirty granules times granularity.</summary>
    public long CountDirtyBytes(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold(bitmap);
            return bitmap.Content.DirtyBytes;
        }
    }

    /// <summary>Finds the next dirty area, up to and including every write acknowledged before the call.</summary>
    /// <param name="bitmap">One of this node's bitmaps.</param>
    /// <param name="start">Where to begin, bytes.</param>
    /// <param name="end">Where to stop (exclusive).</param>
    /// <param name="maxLength">The longest area wanted, bytes.</param>
    /// <param name="offset">Its first byte.</param>
    /// <param name="length">Its bytes.</param>
    /// <returns>Whether there is one.</returns>
    public bool NextDirtyArea(DirtyBitmap bitmap, long start, long end, long maxLength, out long offset, out long length)
    {
        lock (_lock)
        {
            Fold(bitmap);
            return bitmap.Content.NextDirtyArea(start, end, maxLength, out offset, out length);
        }
    }

    /// <summary>Lists dirty ranges as they are at one instant, every write acknowledged before the call included.</summary>
    /// <param name="bitmap">One of this node's bitmaps; may be busy.</param>
    /// <param name="offset">Where to begin, bytes; at or past the size there is nothing.</param>
    /// <param name="maxRanges">The most ranges wanted, above 0.</param>
    /// <param name="nextOffset">Where to go on if more is dirty, else null. A granule that stays dirty is met by such a walk.</param>
    /// <returns>In ascending order, none touching another; cut to the size.</returns>
    /// <exception cref="QmpException">It is inconsistent.</exception>
    public IReadOnlyList<(long Offset, long Length)> DirtyRanges(DirtyBitmap bitmap, long offset, int maxRanges, out long? nextOffset)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Inspect);
            Fold(bitmap);
            var ranges = new List<(long Offset, long Length)>();
            while (ranges.Count < maxRanges && bitmap.Content.NextDirtyArea(offset, SizeBytes, long.MaxValue, out long start, out long length))
            {
                ranges.Add((start, length));
                offset = start + length;
            }

            nextOffset = ranges.Count == maxRanges && bitmap.Content.NextDirty(offset, SizeBytes) >= 0 ? offset : null;
            return ranges;
        }
    }

    /// <summary>Finds the next dirty area and makes it clean, so that a copy of it begun after the return misses no write.</summary>
    /// <param name="bitmap">One of this node's bitmaps.</param>
    /// <param name="start">Where to begin, bytes, at the start of a granule.</param>
    /// <param name="end">Where to stop (exclusive), whole granules or the size.</param>
    /// <param name="maxLength">The longest area wanted, bytes; rounded down to granules, at least one.</param>
    /// <param name="offset">Its first byte, at the start of a granule.</param>
    /// <param name="length">Its bytes, whole granules or up to the size.</param>
    /// <returns>Whether there was one.</returns>
    public bool TakeDirtyArea(DirtyBitmap bitmap, long start, long end, long maxLength, out long offset, out long length)
    {
        lock (_lock)
        {
            Fold(bitmap);
            long granules = Math.Max(bitmap.Granularity, maxLength & -(long)bitmap.Granularity);
            if (!bitmap.Content.NextDirtyArea(start, end, granules, out offset, out length))
                return false;
            bitmap.Content.Reset(offset, length);
            return true;
        }
    }

    /// <summary>Says whether a position is dirty and how far that holds.</summary>
    /// <param name="bitmap">One of this node's bitmaps.</param>
    /// <param name="offset">Byte offset; what lies past the size is clean.</param>
    /// <param name="end">Where to stop (exclusive).</param>
    /// <param name="length">Bytes from the offset on that are alike.</param>
    public bool IsDirty(DirtyBitmap bitmap, long offset, long end, out long length)
    {
        lock (_lock)
        {
            Fold(bitmap);
            return IsDirtyNow(bitmap, offset, end, out length);
        }
    }

    /// <summary>Tells which bytes of a range are dirty and which clean, as they are at one instant, every write acknowledged before the call included.</summary>
    /// <param name="bitmap">One of this node's bitmaps.</param>
    /// <param name="offset">Where to begin, bytes; what lies past the size is clean.</param>
    /// <param name="end">Where to stop (exclusive).</param>
    /// <param name="take">Told each run's bytes and whether they are dirty, in ascending order; says whether it wants more.</param>
    public void TellRuns(DirtyBitmap bitmap, long offset, long end, Func<long, bool, bool> take)
    {
        lock (_lock)
        {
            Fold(bitmap);
            while (offset < end)
            {
                bool isDirty = IsDirtyNow(bitmap, offset, end, out long length);
                if (!take(length, isDirty))
                    return;
                offset += length;
            }
        }
    }

    /// <summary>Makes a range dirty (a job puts back what it could not copy); rounds outwards to granules.</summary>
    public void SetDirty(DirtyBitmap bitmap, long offset, long length)
    {
        lock (_lock)
            bitmap.Content.Set(offset, length);
    }

    /// <summary>Makes whole granules clean, every write acknowledged before the call included.</summary>
    public void ResetDirty(DirtyBitmap bitmap, long offset, long length)
    {
        lock (_lock)
        {
            Fold(bitmap);
            bitmap.Content.Reset(offset, length);
        }
    }

    /// <summary>Makes dirty what another content holds (the part of a failed backup that was not copied).</summary>
    public void MergeContent(DirtyBitmap bitmap, HierarchicalBitmap content)
    {
        lock (_lock)
            bitmap.Content.Merge(content);
    }

    /// <summary>A copy of the bits as they are now.</summary>
    public HierarchicalBitmap CopyContent(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold(bitmap);
            return bitmap.Content.Clone();
        }
    }

    /// <summary>Takes what the image must hold, a successor's bits included, if it may differ from what was stored last.</summary>
    /// <param name="bitmap">One of this node's bitmaps; counts as stored from now on, see <see cref="PutBackModified"/>.</param>
    /// <returns>The content itself, which nobody must change before it is stored; null if the image holds it already.</returns>
    public HierarchicalBitmap? TakeModified(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold(bitmap);
            if (!bitmap.Content.IsModified && bitmap.Successor is null)
                return null;
            if (bitmap.Successor is not { } successor)
            {
                bitmap.Content.MarkStored();
                return bitmap.Content;
            }

            HierarchicalBitmap both = bitmap.Content.Clone();
            both.Merge(successor.Content);
            return both;
        }
    }

    /// <summary>Notes that what <see cref="TakeModified"/> gave was not stored.</summary>
    public void PutBackModified(DirtyBitmap bitmap)
    {
        lock (_lock)
            bitmap.Content.MarkModified();
    }

    /// <summary>QEMU's hash of the bits (<c>x-debug-block-dirty-bitmap-sha256</c>), lower-case hexadecimal.</summary>
    public string Sha256(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold(bitmap);
            return bitmap.Content.Sha256();
        }
    }

    private bool IsDirtyNow(DirtyBitmap bitmap, long offset, long end, out long length)
    {
        bool isDirty = offset < SizeBytes && bitmap.Content.IsDirty(offset);
        if (isDirty)
            end = Math.Min(end, SizeBytes);
        long change = isDirty ? bitmap.Content.NextClean(offset, end) : bitmap.Content.NextDirty(offset, end);
        length = (change < 0 ? end : change) - offset;
        return isDirty;
    }
}
