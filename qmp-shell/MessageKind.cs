namespace QmpShell;

/// <summary>What a printed text is.</summary>
internal enum MessageKind
{
    /// <summary>A request, shown because the user asked for it.</summary>
    Request,

    /// <summary>A reply with a return value.</summary>
    Reply,

    /// <summary>A reply with an error.</summary>
    ErrorReply,

    /// <summary>An event.</summary>
    Event,

    /// <summary>Something went wrong on this side.</summary>
    Error,
}
