namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>discard</c>.</summary>
internal sealed class DiscardCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "discard";

    /// <inheritdoc/>
    public override string Arguments => "[-Cq] off len";

    /// <inheritdoc/>
    public override string Help => "say that bytes are of no more use";

    /// <inheritdoc/>
    public override string Options => "Cq";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => -1;

    /// <inheritdoc/>
    public override bool Writes => true;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        request.CheckWords(2, 2);
        long offset = QemuIoNumber.ParseSize(request.Words[0]);
        int length = QemuIoNumber.ParseLength(request.Words[1]);
        if (await QemuIoTransfer.TimeAsync(request, Name, () => request.Backend.DiscardAsync(offset, length)) is { } elapsed)
        {
            QemuIoReport.Print(request, Name, offset, length, elapsed);
        }

        return null;
    }
}
