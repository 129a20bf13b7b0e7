namespace Monitor.Nbd;

/// <summary>What a client asks for while it negotiates (NBD specification, "Option types").</summary>
public enum NbdOption : uint
{
    /// <summary>Chooses an export and ends the negotiation without a reply that could say why not.</summary>
    ExportName = 1,

    /// <summary>Ends the session.</summary>
    Abort = 2,

    /// <summary>Lists the exports.</summary>
    List = 3,

    /// <summary>Begins TLS.</summary>
    StartTls = 5,

    /// <summary>Describes an export.</summary>
    Info = 6,

    /// <summary>Describes an export and begins the transmission.</summary>
    Go = 7,

    /// <summary>Switches structured replies on.</summary>
    StructuredReply = 8,

    /// <summary>Lists the meta contexts of an export.</summary>
    ListMetaContext = 9,

    /// <summary>Chooses the meta contexts that block status requests report.</summary>
    SetMetaContext = 10,
}
