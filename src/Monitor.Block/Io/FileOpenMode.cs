namespace Monitor.Block.Io;

/// <summary>What a file is opened for.</summary>
[Flags]
public enum FileOpenMode
{
    /// <summary>Reading only.</summary>
    Read = 0,

    /// <summary>Reading and writing.</summary>
    Write = 1,

    /// <summary>Transfers bypass the page cache (O_DIRECT): position, length and memory must be aligned.</summary>
    Direct = 2,

    /// <summary>The file is made if it does not exist, readable by all and writable by its owner (mode 0644, less the umask).</summary>
    Create = 4,
}
