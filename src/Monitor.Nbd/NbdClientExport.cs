namespace Monitor.Nbd;

/// <summary>What a client knows when its transmission begins.</summary>
/// <param name="Info">Size and flags.</param>
/// <param name="BlockSizes">The block sizes, if the server told them.</param>
/// <param name="StructuredReplies">Whether reads are answered in chunks.</param>
/// <param name="MetaContexts">The contexts that block status reports.</param>
public sealed record NbdClientExport(
    NbdExportInfo Info, NbdBlockSizes? BlockSizes, bool StructuredReplies, IReadOnlyList<NbdMetaContext> MetaContexts);
