using Monitor.Block.Drivers.Blkdebug;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>wait_break</c>: waits until a breakpoint has stopped a request; the monitor goes on for others.</summary>
internal sealed class WaitBreakCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "wait_break";

    /// <inheritdoc/>
    public override string Arguments => "tag";

    /// <inheritdoc/>
    public override string Help => "wait until a request is stopped";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        if (BlkdebugNode.FindBelow(request.Backend.Node) is { } node)
        {
            await node.WaitBreakAsync(request.Words[0]);
        }

        return null;
    }
}
