namespace Monitor.Nbd;

/// <summary>The words by which error texts call options and the answers to them.</summary>
internal static class NbdOptionName
{
    /// <summary>An option, such as <c>7 (go)</c>.</summary>
    public static string Of(NbdOption option) => $"{(uint)option} ({Word(option)})";

    /// <summary>An answer, such as <c>1 (ack)</c>.</summary>
    public static string Of(NbdOptionReply reply) => $"{(uint)reply} ({Word(reply)})";

    private static string Word(NbdOption option) => option switch
    {
        NbdOption.ExportName => "export name",
        NbdOption.Abort => "abort",
        NbdOption.List => "list",
        NbdOption.StartTls => "starttls",
        NbdOption.Info => "info",
        NbdOption.Go => "go",
        NbdOption.StructuredReply => "structured reply",
        NbdOption.ListMetaContext => "list meta context",
        NbdOption.SetMetaContext => "set meta context",
        _ => "<unknown>",
    };

    private static string Word(NbdOptionReply reply) => reply switch
    {
        NbdOptionReply.Ack => "ack",
        NbdOptionReply.Server => "server",
        NbdOptionReply.Info => "info",
        NbdOptionReply.MetaContext => "meta context",
        NbdOptionReply.ErrorUnsupported => "unsupported",
        NbdOptionReply.ErrorPolicy => "denied by policy",
        NbdOptionReply.ErrorInvalid => "invalid",
        NbdOptionReply.ErrorPlatform => "platform lacks support",
        NbdOptionReply.ErrorTlsRequired => "TLS required",
        NbdOptionReply.ErrorUnknown => "export unknown",
        NbdOptionReply.ErrorShutdown => "server shutting down",
        NbdOptionReply.ErrorBlockSizeRequired => "block size required",
        _ => "<unknown>",
    };
}
