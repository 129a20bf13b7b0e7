namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What a check repairs.</summary>
[Flags]
public enum ImageCheckFix
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Clusters that count as used and are not.</summary>
    Leaks = 1,

    /// <summary>Whatever can be: wrong refcounts and COPIED flags, kept clusters at impossible places.</summary>
    All = 3,
}
