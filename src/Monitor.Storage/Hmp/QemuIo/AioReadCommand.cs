using Monitor.Block;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>aio_read</c>: a read that goes on after the reply.</summary>
internal sealed class AioReadCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "aio_read";

    /// <inheritdoc/>
    public override string Arguments => "[-Ciqv] [-P pattern] off len [len..]";

    /// <inheritdoc/>
    public override string Help => "begin to read bytes; aio_flush waits for it";

    /// <inheritdoc/>
    public override string Options => "CP:iqv";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override bool IsCounted => true;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        byte? pattern = request.Find('P') is { } text ? QemuIoNumber.ParsePattern(text) : null;
        request.CheckWords(2);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        int length = QemuIoNumber.ParseLengths(request.Words.Skip(1));
        return request.Has('i')
            ? QemuIoTransfer.CountInvalid(request, BlockRequestKind.Read)
            : new(QemuIoTransfer.ReadAsync(request, "readv", offset, length, pattern is { } value ? new QemuIoPattern(value, 0, length) : null));
    }
}
