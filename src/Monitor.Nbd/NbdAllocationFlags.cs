namespace Monitor.Nbd;

/// <summary>The flags of an extent in the meta context <c>base:allocation</c>.</summary>
[Flags]
public enum NbdAllocationFlags
{
    /// <summary>Holds data.</summary>
    None = 0,

    /// <summary>No space is allocated.</summary>
    Hole = 1,

    /// <summary>Reads as zeroes.</summary>
    Zero = 2,
}
