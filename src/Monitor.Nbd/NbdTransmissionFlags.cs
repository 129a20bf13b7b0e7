namespace Monitor.Nbd;

/// <summary>What an export can do (NBD specification, "Transmission flags").</summary>
[Flags]
public enum NbdTransmissionFlags
{
    /// <summary>Nothing; never sent.</summary>
    None = 0,

    /// <summary>The other flags mean something.</summary>
    HasFlags = 1 << 0,

    /// <summary>Writes are refused.</summary>
    ReadOnly = 1 << 1,

    /// <summary>Knows <see cref="NbdCommand.Flush"/>.</summary>
    SendFlush = 1 << 2,

    /// <summary>Knows <see cref="NbdCommandFlags.Fua"/>.</summary>
    SendFua = 1 << 3,

    /// <summary>Behaves like a rotating disk.</summary>
    Rotational = 1 << 4,

    /// <summary>Knows <see cref="NbdCommand.Trim"/>.</summary>
    SendTrim = 1 << 5,

    /// <summary>Knows <see cref="NbdCommand.WriteZeroes"/>.</summary>
    SendWriteZeroes = 1 << 6,

    /// <summary>Knows <see cref="NbdCommandFlags.DontFragment"/>.</summary>
    SendDontFragment = 1 << 7,

    /// <summary>A flush on one connection covers the writes of all.</summary>
    CanMultiConn = 1 << 8,

    /// <summary>Knows a resize request (experimental; never sent).</summary>
    SendResize = 1 << 9,

    /// <summary>Knows <see cref="NbdCommand.Cache"/>.</summary>
    SendCache = 1 << 10,

    /// <summary>Knows <see cref="NbdCommandFlags.FastZero"/>.</summary>
    SendFastZero = 1 << 11,
}
