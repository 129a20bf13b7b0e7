namespace Monitor.Block.Bitmaps;

/// <summary>What a query shows of a bitmap (QAPI <c>BlockDirtyInfo</c>).</summary>
/// <param name="Name">Null for a job's own bitmap.</param>
/// <param name="CountBytes">Dirty granules times granularity.</param>
/// <param name="Granularity">Bytes per bit.</param>
/// <param name="Recording">Whether writes are recorded, by it or by its successor.</param>
/// <param name="Busy">Whether an operation uses it.</param>
/// <param name="Persistent">Whether it is to be stored in the image.</param>
/// <param name="Inconsistent">Whether it was in use when its image was last left.</param>
public sealed record DirtyBitmapInfo(
    string? Name, long CountBytes, uint Granularity, bool Recording, bool Busy, bool Persistent, bool Inconsistent);
