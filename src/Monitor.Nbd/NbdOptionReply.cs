namespace Monitor.Nbd;

/// <summary>What a server answers to an option; errors have the top bit set (NBD specification, "Option reply types").</summary>
public enum NbdOptionReply : uint
{
    /// <summary>Done, or the end of a list.</summary>
    Ack = 1,

    /// <summary>One export of a list.</summary>
    Server = 2,

    /// <summary>One piece of information about an export.</summary>
    Info = 3,

    /// <summary>One meta context.</summary>
    MetaContext = 4,

    /// <summary>The server does not know the option.</summary>
    ErrorUnsupported = 0x8000_0001,

    /// <summary>The server's administrator forbids it.</summary>
    ErrorPolicy = 0x8000_0002,

    /// <summary>The option's data make no sense.</summary>
    ErrorInvalid = 0x8000_0003,

    /// <summary>The server's platform cannot do it.</summary>
    ErrorPlatform = 0x8000_0004,

    /// <summary>TLS must begin first.</summary>
    ErrorTlsRequired = 0x8000_0005,

    /// <summary>The export does not exist.</summary>
    ErrorUnknown = 0x8000_0006,

    /// <summary>The server is going down.</summary>
    ErrorShutdown = 0x8000_0007,

    /// <summary>The client must ask for the block sizes first.</summary>
    ErrorBlockSizeRequired = 0x8000_0008,

    /// <summary>The request or its answer is too big.</summary>
    ErrorTooBig = 0x8000_0009,
}
