using Monitor.Block.Bitmaps;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One bitmap of the directory as it is on disk, and the bitmap in memory it belongs to.</summary>
/// <param name="Entry">The directory entry.</param>
/// <param name="Table">Its table; null where an entry in use has a broken one, whose clusters are then never freed.</param>
/// <param name="Bitmap">The bitmap in memory.</param>
internal sealed record Qcow2StoredBitmap(Qcow2BitmapDirectoryEntry Entry, Qcow2BitmapTable? Table, DirtyBitmap Bitmap);
