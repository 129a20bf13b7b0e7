namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>readv</c>.</summary>
internal sealed class ReadvCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "readv";

    /// <inheritdoc/>
    public override string Arguments => "[-Cqv] [-P pattern] off len [len..]";

    /// <inheritdoc/>
    public override string Help => "read bytes into several buffers; -P checks them, -v dumps them";

    /// <inheritdoc/>
    public override string Options => "CP:qv";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        byte? pattern = request.Find('P') is { } text ? QemuIoNumber.ParsePattern(text) : null;
        request.CheckWords(2);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        int length = QemuIoNumber.ParseLengths(request.Words.Skip(1));
        await QemuIoTransfer.ReadAsync(request, Name, offset, length, pattern is { } value ? new QemuIoPattern(value, 0, length) : null);
        return null;
    }
}
