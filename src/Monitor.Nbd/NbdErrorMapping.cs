namespace Monitor.Nbd;

/// <summary>The way between the system's errors and those of the wire.</summary>
public static class NbdErrorMapping
{
    private const int EINVAL = 22;

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

    /// <summary>The Linux errno for the wire's error; what the specification does not list is EINVAL.</summary>
    /// <param name="error">As the peer sent it.</param>
    public static int ToErrno(NbdError error) => error switch
    {
        NbdError.None or NbdError.NotPermitted or NbdError.InputOutput or NbdError.NoMemory or NbdError.NoSpace or NbdError.Overflow
            or NbdError.NotSupported or NbdError.Shutdown => (int)error,
        _ => EINVAL,
    };
}
