namespace Monitor.Nbd;

/// <summary>Flags of a structured reply's chunk.</summary>
[Flags]
public enum NbdChunkFlags
{
    /// <summary>More chunks follow.</summary>
    None = 0,

    /// <summary>The last chunk of its reply.</summary>
    Done = 1,
}
