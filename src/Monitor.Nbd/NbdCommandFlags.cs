namespace Monitor.Nbd;

/// <summary>How a request is to be done (NBD specification, "Command flags").</summary>
[Flags]
public enum NbdCommandFlags
{
    /// <summary>Nothing special.</summary>
    None = 0,

    /// <summary>Force unit access: durable when replied to.</summary>
    Fua = 1 << 0,

    /// <summary>Zeroes must not be made by giving space back.</summary>
    NoHole = 1 << 1,

    /// <summary>A read is answered with one data chunk.</summary>
    DontFragment = 1 << 2,

    /// <summary>A block status reports one extent per context.</summary>
    ReqOne = 1 << 3,

    /// <summary>Zeroes only if that is quicker than writing them.</summary>
    FastZero = 1 << 4,
}
