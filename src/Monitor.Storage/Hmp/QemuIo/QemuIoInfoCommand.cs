using Monitor.Block;
using Monitor.Block.Drivers.Null;
using Monitor.Block.Drivers.Qcow2;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary><c>info</c>: the format and its particulars.</summary>
internal sealed class QemuIoInfoCommand : QemuIoCommand
{
    /// <inheritdoc/>
    public override string Name => "info";

    /// <inheritdoc/>
    public override string Help => "print the format and its particulars";

    /// <inheritdoc/>
    public override ValueTask<Task?> RunAsync(QemuIoRequest request)
    {
        BlockNode node = request.Backend.Node;
        request.Output.Append($"format name: {node.DriverName}\n");
        if (node is NullNode)
        {
            return default;
        }

        long cluster = node.ClusterSizeBytes;
        request.Output.Append($"cluster size: {QemuIoNumber.Describe(cluster)}\n");
        if (node is not Qcow2Node qcow2)
        {
            request.Output.Append($"vm state offset: {QemuIoNumber.Describe(0)}\n");
            return default;
        }

        long perTable = cluster * (cluster / sizeof(ulong));
        long vmState = (node.SizeBytes + perTable - 1) / perTable * perTable;
        request.Output.Append($"vm state offset: {QemuIoNumber.Describe(vmState)}\nFormat specific information:\n");
        ImageText.PrintQcow2(qcow2.DescribeFormat(), request.Output);
        return default;
    }
}
