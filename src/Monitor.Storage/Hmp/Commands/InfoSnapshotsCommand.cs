using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info snapshots</c>: a virtual machine's, so there are none.</summary>
internal sealed class InfoSnapshotsCommand(BlockGraph graph) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "snapshots";

    /// <inheritdoc/>
    public override string Help => "the snapshots of a virtual machine: none";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        bool canStore = graph.Nodes.Any(node => node is Qcow2Node && !node.IsReadOnly && node.Parents.All(edge => edge.Parent is not BlockNode));
        output.Append(canStore ? "There is no snapshot available.\n" : "no block device can store vmstate for snapshot\n");
        return default;
    }
}
