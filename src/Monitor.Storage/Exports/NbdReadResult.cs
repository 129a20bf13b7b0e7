namespace Monitor.Storage.Exports;

/// <summary>What <see cref="NbdRequestReader"/> found.</summary>
internal enum NbdReadResult
{
    /// <summary>A request.</summary>
    Request,

    /// <summary>More must be received first.</summary>
    Incomplete,

    /// <summary>No request begins here; the connection is beyond help.</summary>
    Garbage,
}
