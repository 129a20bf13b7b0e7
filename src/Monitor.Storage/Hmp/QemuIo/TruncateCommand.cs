using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>truncate</c>: changes the size.</summary>
/// <param name="graph">Where the node is.</param>
internal sealed class TruncateCommand(BlockGraph graph) : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "truncate";

    /// <inheritdoc/>
    public override string Arguments => "off";

    /// <inheritdoc/>
    public override string Help => "change the size";

    /// <inheritdoc/>
    public override int MinimumWords => 1;

    /// <inheritdoc/>
    public override int MaximumWords => 1;

    /// <inheritdoc/>
    public override async ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        long size = QemuIoNumber.ParseSize(request.Words[0]);
        try
        {
            using GraphChange change = await graph.ChangeAsync();
            graph.SetPermissions(request.Backend, BlockPermission.Resize, BlockPermission.All);
            BlockNode node = request.Backend.Node;
            using DrainedSection section = await graph.DrainAsync(node);
            await BlockThreads.RunAsync(() => node.TruncateAsync(size));
        }
        catch (Exception e) when (e is QmpException or BlockIoException)
        {
            throw new QemuIoException(e.Message);
        }

        return null;
    }
}
