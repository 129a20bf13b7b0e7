using Monitor.Qmp;

namespace Unit.Daemon;

/// <summary>A character device with one connection: a client of the test.</summary>
internal sealed class InProcessChardev(string id, InProcessClient client) : Chardev(id, null)
{
    /// <inheritdoc/>
    public override string Kind => "test";

    /// <inheritdoc/>
    public override string FileName => "test";

    private protected override void Start(Action<QmpTransport> connected) => connected(client);

    private protected override void Close()
    {
    }
}
