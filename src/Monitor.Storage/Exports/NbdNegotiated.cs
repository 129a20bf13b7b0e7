namespace Monitor.Storage.Exports;

/// <summary>What a client agreed on before its transmission.</summary>
/// <param name="Export">The export; the connection is among its clients.</param>
/// <param name="StructuredReplies">Whether reads are answered in chunks.</param>
/// <param name="Contexts">What block status reports.</param>
internal sealed record NbdNegotiated(NbdExport Export, bool StructuredReplies, IReadOnlyList<NbdContext> Contexts);
