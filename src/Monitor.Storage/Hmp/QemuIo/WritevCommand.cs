using Monitor.Block;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>writev</c>.</summary>
internal sealed class WritevCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "writev";

    /// <inheritdoc/>
    public override string Arguments => "[-Cfq] [-P pattern] off len [len..]";

    /// <inheritdoc/>
    public override string Help => "write bytes from several buffers; -f makes them durable";

    /// <inheritdoc/>
    public override string Options => "CfqP:";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override bool Writes => true;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        QemuIoTransfer.Fill(0, request.Find('P'));
        request.CheckWords(2);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        byte[] content = QemuIoTransfer.Fill(QemuIoNumber.ParseLengths(request.Words.Skip(1)), request.Find('P'));
        await QemuIoTransfer.WriteAsync(request, Name, offset, content, request.Has('f') ? BlockWriteFlags.Fua : BlockWriteFlags.None);
        return null;
    }
}
