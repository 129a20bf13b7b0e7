using Monitor.Block;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>read</c>.</summary>
internal sealed class ReadCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "read";

    /// <inheritdoc/>
    public override string Arguments => "[-abCqv] [-P pattern [-s off] [-l len]] off len";

    /// <inheritdoc/>
    public override string Help => "read bytes; -P checks them, or -l of them from -s on; -v dumps them";

    /// <inheritdoc/>
    public override string Options => "bCl:pP:qs:v";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        long? checkedLength = request.Find('l') is { } l ? QemuIoNumber.ParseSize(l) : null;
        byte? value = request.Find('P') is { } p ? QemuIoNumber.ParsePattern(p) : null;
        long start = request.Find('s') is { } s ? QemuIoNumber.ParseSize(s) : 0;
        request.CheckWords(2, 2);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        int length = QemuIoNumber.ParseLength(request.Words[1]);
        if (value is null && (checkedLength is not null || request.Has('s')))
        {
            throw new QemuIoException(Usage);
        }

        if (start > length || (checkedLength ?? 0) > length - start)
        {
            throw new QemuIoException("pattern verification range exceeds end of read data");
        }

        if (request.Has('b'))
        {
            throw new QemuIoException($"{Name} failed: {Errno.Describe(Errno.ENOTSUP)}");
        }

        QemuIoPattern? pattern = value is { } wanted ? new QemuIoPattern(wanted, (int)start, (int)(checkedLength ?? length - start)) : null;
        await QemuIoTransfer.ReadAsync(request, Name, offset, length, pattern);
        return null;
    }
}
