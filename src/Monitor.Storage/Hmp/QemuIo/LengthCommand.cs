namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>length</c>: the size.</summary>
internal sealed class LengthCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "length";

    /// <inheritdoc/>
    public override string Help => "print the size";

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        request.Output.Append($"{QemuIoNumber.Describe(request.Backend.SizeBytes)}\n");
        return default;
    }
}
