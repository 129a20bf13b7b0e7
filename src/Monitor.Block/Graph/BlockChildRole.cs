namespace Monitor.Block;

/// <summary>What a child is to its parent node (QEMU's block-layer words).</summary>
[Flags]
public enum BlockChildRole
{
    /// <summary>A root user's edge has no role.</summary>
    None = 0,

    /// <summary>Holds guest data.</summary>
    Data = 1,

    /// <summary>Holds the format's metadata.</summary>
    Metadata = 2,

    /// <summary>The parent shows this child's content unchanged.</summary>
    Filtered = 4,

    /// <summary>The parent falls back to this child where it holds nothing.</summary>
    CopyOnWrite = 8,

    /// <summary>The one through which the parent is found and named.</summary>
    Primary = 16,

    /// <summary>The usual <c>file</c> child of a format.</summary>
    Image = Data | Metadata | Primary,
}
