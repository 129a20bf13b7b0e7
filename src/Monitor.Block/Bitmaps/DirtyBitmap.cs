using Monitor.Qapi;

namespace Monitor.Block.Bitmaps;

/// <summary>
/// A bitmap of the bytes of a node that were written since some moment, with its states; <see cref="NodeBitmaps"/> does all that changes
/// it.
/// </summary>
/// <remarks>The states are read by anyone and changed only under the owner's lock.</remarks>
public sealed class DirtyBitmap
{
    internal DirtyBitmap(NodeBitmaps owner, string? name, HierarchicalBitmap content)
    {
        Owner = owner;
        Name = name;
        Content = content;
    }

    /// <summary>The node's bitmaps this one is among.</summary>
    public NodeBitmaps Owner { get; }

    /// <summary>The client's name; null for a job's own bitmap.</summary>
    public string? Name { get; }

    /// <summary>Bytes per bit, a power of two.</summary>
    public uint Granularity => Content.Granularity;

    /// <summary>Bytes described.</summary>
    public long SizeBytes => Content.SizeBytes;

    /// <summary>
    /// Whether the client wants it to record (not <em>disabled</em>). False while frozen: then the successor records in its place.
    /// </summary>
    public bool IsEnabled { get; internal set; }

    /// <summary>Whether an operation uses it: it may not be changed, removed or used by another one.</summary>
    public bool IsBusy => Users != 0 || Successor is not null;

    /// <summary>Whether its image is open read-only: the content cannot change.</summary>
    public bool IsReadOnly { get; internal set; }

    /// <summary>Whether it is to be stored in the image.</summary>
    public bool IsPersistent { get; internal set; }

    /// <summary>Whether it was in use when its image was last left, so that its content means nothing.</summary>
    public bool IsInconsistent { get; internal set; }

    /// <summary>Whether the next store must pass it by: it is being removed, or travels by migration.</summary>
    public bool IsStoreSkipped { get; internal set; }

    /// <summary>Whether writes are recorded, by it or by its successor.</summary>
    public bool IsRecording => IsEnabled || Successor is { IsEnabled: true };

    internal HierarchicalBitmap Content { get; set; }

    internal DirtyBitmap? Successor { get; set; }

    internal int Users { get; set; }

    internal bool RecordsWrites => IsEnabled && !IsReadOnly && !IsInconsistent;

    /// <summary>Refuses a use that the bitmap's states forbid, in QEMU's words.</summary>
    /// <exception cref="QmpException">It is busy, read-only or inconsistent.</exception>
    public void CheckUsable(BitmapUse use)
    {
        if (IsBusy && use != BitmapUse.Inspect)
            throw new QmpException($"Bitmap '{Name}' is currently in use by another operation and cannot be used");
        if (IsReadOnly && use is (BitmapUse.Modify or BitmapUse.Remove))
            throw new QmpException($"Bitmap '{Name}' is readonly and cannot be modified");
        if (IsInconsistent && use is not (BitmapUse.Remove or BitmapUse.HandOver))
            throw new QmpException($"Bitmap '{Name}' is inconsistent and cannot be used");
    }
}
