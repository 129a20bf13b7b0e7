namespace Monitor.Nbd;

/// <summary>What both sides can do, told before the first option: the server in its greeting, the client in its answer.</summary>
[Flags]
public enum NbdHandshakeFlags
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Options the server does not know are answered, not punished.</summary>
    FixedNewstyle = 1,

    /// <summary>No padding after the reply to <see cref="NbdOption.ExportName"/>.</summary>
    NoZeroes = 2,
}
