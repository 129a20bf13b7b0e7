namespace Monitor.Nbd;

/// <summary>The way from the system's errors to those of the wire.</summary>
public static class NbdErrorMapping
{
    /// <summary>The wire's error for a Linux errno; what the wire has no word for is EINVAL, as the specification says.</summary>
    /// <param name="errno">A positive Linux errno.</param>
    public static NbdError FromErrno(int errno) => errno switch
    {
        0 => NbdError.None,
        1 or 30 => NbdError.NotPermitted, // EPERM, EROFS
        5 => NbdError.InputOutput,
        12 => NbdError.NoMemory,
        27 or 28 or 122 => NbdError.NoSpace, // EFBIG, ENOSPC, EDQUOT
        75 => NbdError.Overflow,
        95 => NbdError.NotSupported,
        108 => NbdError.Shutdown,
        _ => NbdError.Invalid,
    };
}
