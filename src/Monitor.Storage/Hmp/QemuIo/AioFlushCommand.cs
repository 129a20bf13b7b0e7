using System.Text;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>aio_flush</c>.</summary>
internal sealed class AioFlushCommand(Func<StringBuilder, Task> flush) : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "aio_flush";

    /// <inheritdoc/>
    public override string Help => "wait for every aio_ command, and print what they print";

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        await flush(request.Output);
        return null;
    }
}
