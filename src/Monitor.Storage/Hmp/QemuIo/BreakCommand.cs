using Monitor.Block;
using Monitor.Block.Drivers.Blkdebug;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>break</c>: sets a breakpoint of the <c>blkdebug</c> node below.</summary>
internal sealed class BreakCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "break";

    /// <inheritdoc/>
    public override string Arguments => "event tag";

    /// <inheritdoc/>
    public override string Help => "stop the next request that reaches a point of work";

    /// <inheritdoc/>
    public override int MinimumWords => 2;

    /// <inheritdoc/>
    public override int MaximumWords => 2;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        BlkdebugNode? node = BlkdebugNode.FindBelow(request.Backend.Node);
        if (node is null || !BlkdebugEventWire.TryParse(request.Words[0], out BlkdebugEvent evt))
        {
            throw new QemuIoException($"Could not set breakpoint: {Errno.Describe(node is null ? Errno.ENOTSUP : Errno.ENOENT)}");
        }

        node.Break(evt, request.Words[1]);
        return default;
    }
}
