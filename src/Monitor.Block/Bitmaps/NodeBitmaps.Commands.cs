using Monitor.Qapi;

namespace Monitor.Block.Bitmaps;

public sealed partial class NodeBitmaps
{
    /// <summary>Lets a bitmap record.</summary>
    /// <returns>Whether it was enabled before.</returns>
    /// <exception cref="QmpException">It is busy or inconsistent.</exception>
    public bool Enable(DirtyBitmap bitmap) => SetEnabled(bitmap, true);

    /// <summary>Stops a bitmap from recording.</summary>
    /// <returns>Whether it was enabled before.</returns>
    /// <exception cref="QmpException">It is busy or inconsistent.</exception>
    public bool Disable(DirtyBitmap bitmap) => SetEnabled(bitmap, false);

    /// <summary>Makes a bitmap clean.</summary>
    /// <returns>What it held, for <see cref="RestoreClear"/>.</returns>
    /// <exception cref="QmpException">It is busy, read-only or inconsistent.</exception>
    public HierarchicalBitmap Clear(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Modify);
            Fold();
            HierarchicalBitmap backup = bitmap.Content;
            bitmap.Content = new HierarchicalBitmap(SizeBytes, bitmap.Granularity);
            return backup;
        }
    }

    /// <summary>Undoes <see cref="Clear"/>; what was recorded since then stays.</summary>
    public void RestoreClear(DirtyBitmap bitmap, HierarchicalBitmap backup)
    {
        lock (_lock)
        {
            backup.Merge(bitmap.Content);
            bitmap.Content = backup;
        }
    }

    /// <summary>Makes a bitmap dirty all over, so that the next backup copies everything.</summary>
    /// <returns>What it held, for <see cref="Restore"/>.</returns>
    /// <exception cref="QmpException">It is busy, read-only or inconsistent.</exception>
    public HierarchicalBitmap Fill(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Modify);
            Fold();
            HierarchicalBitmap backup = bitmap.Content;
            var content = new HierarchicalBitmap(SizeBytes, bitmap.Granularity);
            content.Set(0, SizeBytes);
            bitmap.Content = content;
            return backup;
        }
    }

    /// <summary>Begins a merge: a clean content of the target's granularity, to be filled by <see cref="Gather"/>.</summary>
    public HierarchicalBitmap BeginMerge(DirtyBitmap target) => new(SizeBytes, target.Granularity);

    /// <summary>Adds one of this node's bitmaps to what a merge gathers.</summary>
    /// <param name="target">The merge's target, on any node.</param>
    /// <param name="gathered">From <see cref="BeginMerge"/>.</param>
    /// <param name="source">One of this node's bitmaps; may be the target.</param>
    /// <exception cref="QmpException">Target or source cannot be used, or they are of different sizes.</exception>
    public void Gather(DirtyBitmap target, HierarchicalBitmap gathered, DirtyBitmap source)
    {
        target.CheckUsable(BitmapUse.Modify);
        lock (_lock)
        {
            source.CheckUsable(BitmapUse.Read);
            if (gathered.SizeBytes != SizeBytes)
            {
                throw new QmpException(
                    $"Bitmaps are of different sizes (destination size is {gathered.SizeBytes}, source size is {SizeBytes}) and can't be merged");
            }

            Fold();
            gathered.Merge(source.Content);
        }
    }

    /// <summary>Ends a merge: what was gathered becomes dirty in the target.</summary>
    /// <returns>What the target held, for <see cref="Restore"/>.</returns>
    /// <exception cref="QmpException">The target is busy, read-only or inconsistent.</exception>
    public HierarchicalBitmap Merge(DirtyBitmap target, HierarchicalBitmap gathered)
    {
        lock (_lock)
        {
            target.CheckUsable(BitmapUse.Modify);
            Fold();
            HierarchicalBitmap backup = target.Content.Clone();
            target.Content.Merge(gathered);
            return backup;
        }
    }

    /// <summary>Merges bitmaps, of any nodes of the same size, into one; an empty list changes nothing.</summary>
    /// <param name="target">One of this node's bitmaps.</param>
    /// <param name="sources">What to merge; may hold the target.</param>
    /// <returns>What the target held, for <see cref="Restore"/>.</returns>
    /// <exception cref="QmpException">A bitmap cannot be used, or a source is of another size.</exception>
    public HierarchicalBitmap Merge(DirtyBitmap target, IEnumerable<DirtyBitmap> sources)
    {
        HierarchicalBitmap gathered = BeginMerge(target);
        foreach (DirtyBitmap source in sources)
            source.Owner.Gather(target, gathered, source);
        return Merge(target, gathered);
    }

    /// <summary>Undoes a merge or a fill. The doors have been closed since it, so nothing was recorded in between.</summary>
    public void Restore(DirtyBitmap target, HierarchicalBitmap backup)
    {
        lock (_lock)
        {
            Fold();
            target.Content = backup;
        }
    }

    /// <summary>Begins a removal that can be undone: the bitmap stays listed and busy, and the next store passes it by.</summary>
    /// <exception cref="QmpException">It is busy or read-only.</exception>
    public void PrepareRemove(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Remove);
            bitmap.Users++;
            bitmap.IsStoreSkipped = true;
        }
    }

    /// <summary>Undoes <see cref="PrepareRemove"/>; <see cref="Release"/> completes it instead.</summary>
    public void AbortRemove(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            bitmap.Users--;
            bitmap.IsStoreSkipped = false;
        }
    }

    /// <summary>Freezes a bitmap for an operation that may fail; an anonymous successor, clean, records in its place.</summary>
    /// <exception cref="QmpException">It is busy.</exception>
    public void CreateSuccessor(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            if (bitmap.IsBusy)
                bitmap.CheckUsable(BitmapUse.Read);
            Fold();
            var content = new HierarchicalBitmap(SizeBytes, bitmap.Granularity);
            bitmap.Successor = new DirtyBitmap(this, null, content) { IsEnabled = bitmap.IsEnabled };
            bitmap.IsEnabled = false;
            _bitmaps.Add(bitmap.Successor);
            _recording.Update();
        }
    }

    /// <summary>
    /// The operation succeeded: the frozen bitmap goes on with its successor's content and place in the list, its own content is dropped.
    /// </summary>
    /// <returns>The content dropped.</returns>
    public HierarchicalBitmap Abdicate(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold();
            DirtyBitmap successor = TakeSuccessor(bitmap);
            HierarchicalBitmap dropped = bitmap.Content;
            bitmap.Content = successor.Content;
            _bitmaps.Remove(bitmap);
            _bitmaps[_bitmaps.IndexOf(successor)] = bitmap;
            _recording.Update();
            return dropped;
        }
    }

    /// <summary>The operation failed: the successor's content is merged into the frozen bitmap, which thaws.</summary>
    public void Reclaim(DirtyBitmap bitmap)
    {
        lock (_lock)
        {
            Fold();
            DirtyBitmap successor = TakeSuccessor(bitmap);
            bitmap.Content.Merge(successor.Content);
            _bitmaps.Remove(successor);
            _recording.Update();
        }
    }

    private static DirtyBitmap TakeSuccessor(DirtyBitmap bitmap)
    {
        DirtyBitmap successor = bitmap.Successor ?? throw new InvalidOperationException("The bitmap is not frozen.");
        bitmap.Successor = null;
        bitmap.IsEnabled = successor.IsEnabled;
        return successor;
    }

    private bool SetEnabled(DirtyBitmap bitmap, bool enabled)
    {
        lock (_lock)
        {
            bitmap.CheckUsable(BitmapUse.Read);
            Fold();
            bool before = bitmap.IsEnabled;
            bitmap.IsEnabled = enabled;
            _recording.Update();
            return before;
        }
    }
}
