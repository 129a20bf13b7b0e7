namespace Monitor.Qmp;

/// <summary>A device of one connection that is there from the start: <c>stdio</c>, <c>pipe</c>, <c>file</c>, <c>null</c>.</summary>
/// <param name="id">Its name.</param>
/// <param name="log">Gets a copy of what is written to it, if any.</param>
/// <param name="kind">What it is.</param>
/// <param name="transport">Its connection.</param>
internal sealed class StreamChardev(string id, FileStream? log, string kind, DescriptorTransport transport) : Chardev(id, log)
{
    /// <inheritdoc/>
    public override string Kind => kind;

    /// <inheritdoc/>
    public override string FileName => kind;

    /// <inheritdoc/>
    private protected override void Start(Action<QmpTransport> connected) => connected(transport);

    /// <inheritdoc/>
    private protected override void Close()
    {
        if (!IsInUse)
        {
            transport.Dispose();
        }
    }
}
