namespace Monitor.Qmp;

/// <summary>A session that writes into memory; nobody can ask it anything.</summary>
/// <param name="ring">Takes the bytes.</param>
internal sealed class RingbufTransport(RingbufChardev ring) : QmpTransport
{
    private readonly ManualResetEventSlim _ended = new();

    /// <inheritdoc/>
    public override int Receive(Span<byte> buffer)
    {
        _ended.Wait();
        return 0;
    }

    /// <inheritdoc/>
    public override string DescribePeer() => "ringbuf";

    /// <inheritdoc/>
    protected override void EndReceivingCore() => _ended.Set();

    /// <inheritdoc/>
    protected override void EndCore() => _ended.Set();

    /// <inheritdoc/>
    protected override int SendCore(ReadOnlySpan<byte> bytes, bool isWaiting)
    {
        ring.Write(bytes);
        return bytes.Length;
    }

    /// <inheritdoc/>
    protected override void Close() => _ended.Dispose();
}
