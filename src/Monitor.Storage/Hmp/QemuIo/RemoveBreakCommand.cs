using Monitor.Block;
using Monitor.Block.Drivers.Blkdebug;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>remove_break</c>: takes breakpoints of a tag away.</summary>
internal sealed class RemoveBreakCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "remove_break";

    /// <inheritdoc/>
    public override string Arguments => "tag";

    /// <inheritdoc/>
    public override string Help => "take breakpoints away and let go what they stopped";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        string tag = request.Words[0];
        BlkdebugNode? node = BlkdebugNode.FindBelow(request.Backend.Node);
        return node?.RemoveBreak(tag) == true
            ? default
            : throw new QemuIoException($"Could not remove breakpoint {tag}: {Errno.Describe(node is null ? Errno.ENOTSUP : Errno.ENOENT)}");
    }
}
