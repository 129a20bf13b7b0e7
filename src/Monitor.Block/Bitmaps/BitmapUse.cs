namespace Monitor.Block.Bitmaps;

/// <summary>What somebody wants of a bitmap, which decides the states that refuse it.</summary>
public enum BitmapUse
{
    /// <summary>Look at its content at one instant: refused while inconsistent.</summary>
    Inspect,

    /// <summary>Read its content or change whether it records: refused while busy or inconsistent.</summary>
    Read,

    /// <summary>Change its content: refused also while read-only.</summary>
    Modify,

    /// <summary>Remove it: refused while busy or read-only; an inconsistent bitmap may be removed.</summary>
    Remove,

    /// <summary>Store it and let another process have it: refused while busy.</summary>
    HandOver,
}
