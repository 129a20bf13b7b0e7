namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>flush</c>.</summary>
internal sealed class FlushCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "flush";

    /// <inheritdoc/>
    public override string Help => "make every write durable";

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        await QemuIoTransfer.TimeAsync(request, Name, request.Backend.FlushAsync);
        return null;
    }
}
