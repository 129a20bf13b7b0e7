namespace Monitor.Nbd;

/// <summary>The error numbers of the wire (NBD specification, "Error values").</summary>
public enum NbdError : uint
{
    /// <summary>No error.</summary>
    None = 0,

    /// <summary>Operation not permitted (EPERM).</summary>
    NotPermitted = 1,

    /// <summary>Input/output error (EIO).</summary>
    InputOutput = 5,

    /// <summary>Out of memory (ENOMEM).</summary>
    NoMemory = 12,

    /// <summary>Invalid argument (EINVAL).</summary>
    Invalid = 22,

    /// <summary>No space left (ENOSPC).</summary>
    NoSpace = 28,

    /// <summary>Value too large (EOVERFLOW).</summary>
    Overflow = 75,

    /// <summary>Not supported (ENOTSUP).</summary>
    NotSupported = 95,

    /// <summary>The server is going down (ESHUTDOWN).</summary>
    Shutdown = 108,
}
