using Monitor.Block;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>aio_write</c>: a write that goes on after the reply.</summary>
internal sealed class AioWriteCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "aio_write";

    /// <inheritdoc/>
    public override string Arguments => "[-Cfiquz] [-P pattern] off len [len..]";

    /// <inheritdoc/>
    public override string Help => "begin to write bytes; aio_flush waits for it";

    /// <inheritdoc/>
    public override string Options => "CfiP:quz";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override bool Writes => true;

    /// <inheritdoc/>
    public override bool IsCounted => true;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        QemuIoTransfer.Fill(0, request.Find('P'));
        request.CheckWords(2);
        bool isZero = request.Has('z');
        string? wrong = isZero && request.Words.Count != 2 ? "-z supports only a single length parameter"
            : request.Has('u') && !isZero ? "-u requires -z to be specified"
            : isZero && request.Has('P') ? "-z and -P cannot be specified at the same time"
            : null;
        if (wrong is not null)
        {
            throw new QemuIoException(wrong);
        }

        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        BlockWriteFlags flags = request.Has('f') ? BlockWriteFlags.Fua : BlockWriteFlags.None;
        flags |= request.Has('u') ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None;
        if (isZero)
        {
            long zeroes = QemuIoNumber.ParseSize(request.Words[1]);
            return request.Has('i') ? QemuIoTransfer.CountInvalid(request, BlockRequestKind.Write) : new(QemuIoTransfer.WriteZeroesAsync(request, Name, offset, zeroes, flags));
        }

        int length = QemuIoNumber.ParseLengths(request.Words.Skip(1));
        return request.Has('i')
            ? QemuIoTransfer.CountInvalid(request, BlockRequestKind.Write)
            : new(QemuIoTransfer.WriteAsync(request, Name, offset, QemuIoTransfer.Fill(length, request.Find('P')), flags));
    }
}
