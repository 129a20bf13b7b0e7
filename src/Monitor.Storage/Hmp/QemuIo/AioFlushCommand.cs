using System.Text;
using Monitor.Block;

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
        long started = BlockStatistics.Now;
        await flush(request.Output);
        request.Drive?.Statistics.CountDone(BlockRequestKind.Flush, 0, started);
        return null;
    }
}
