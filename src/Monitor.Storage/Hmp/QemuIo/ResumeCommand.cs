using Monitor.Block;
using Monitor.Block.Drivers.Blkdebug;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>resume</c>: lets a request go on that a breakpoint stopped.</summary>
internal sealed class ResumeCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "resume";

    /// <inheritdoc/>
    public override string Arguments => "tag";

    /// <inheritdoc/>
    public override string Help => "let a stopped request go on";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        BlkdebugNode? node = BlkdebugNode.FindBelow(request.Backend.Node);
        return node?.Resume(request.Words[0]) == true
            ? default
            : throw new QemuIoException($"Could not resume request: {Errno.Describe(node is null ? Errno.ENOTSUP : Errno.ENOENT)}");
    }
}
