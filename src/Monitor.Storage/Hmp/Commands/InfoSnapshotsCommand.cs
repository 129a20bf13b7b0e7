using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info snapshots</c>: the internal snapshots that all disks have, and those that only some have.</summary>
/// <remarks>The disks are the drives' and, behind them, nodes that the client made and nobody uses as a part of another.</remarks>
internal sealed class InfoSnapshotsCommand(DriveManager drives) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "snapshots";

    /// <inheritdoc/>
    public override string Help => "the internal snapshots of the disks";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        List<(string Name, BlockNode Node)> disks = Disks();
        List<BlockNode> writable = [.. disks.Select(disk => disk.Node).Where(node => !node.IsReadOnly)];
        if (writable.Find(CanStore) is not { } first)
        {
            output.Append("no block device can store vmstate for snapshot\n");
            return default;
        }

        List<SnapshotInfo> common = [.. List(first).Where(snapshot => writable.TrueForAll(node => List(node).Any(other => other.Name == snapshot.Name)))];
        if (disks.TrueForAll(disk => List(disk.Node).Count == 0))
        {
            output.Append("There is no snapshot available.\n");
            return default;
        }

        output.Append("List of snapshots present on all disks:\n");
        Print(common, _ => "--", output);
        output.Append(common.Count == 0 ? "None\n" : "");
        foreach (var (name, node) in disks)
        {
            List<SnapshotInfo> partial = [.. List(node).Where(snapshot => !common.Exists(other => other.Name == snapshot.Name))];
            output.Append(partial.Count > 0 ? $"\nList of partial (non-loadable) snapshots on '{name}':\n" : "");
            Print(partial, snapshot => snapshot.Id, output);
        }

        return default;
    }

    private static bool CanStore(BlockNode node) => node.SkipFilters() is Qcow2Node;

    private static IReadOnlyList<SnapshotInfo> List(BlockNode node) => node.SkipFilters() is Qcow2Node image ? image.ListSnapshots() : [];

    private static void Print(List<SnapshotInfo> snapshots, Func<SnapshotInfo, string> id, StringBuilder output)
    {
        if (snapshots.Count == 0)
        {
            return;
        }

        SnapshotText.PrintHead(output);
        foreach (SnapshotInfo snapshot in snapshots)
        {
            SnapshotText.Print(id(snapshot), snapshot, output);
        }
    }

    private List<(string Name, BlockNode Node)> Disks()
    {
        List<(string Name, BlockNode Node)> disks = [.. drives.All.Where(drive => drive.Backend.HasMedium).Select(drive => (drive.Name, drive.Backend.Node))];
        HashSet<BlockNode> ofDrives = [.. disks.Select(disk => disk.Node)];
        disks.AddRange(drives.Graph.Nodes
            .Where(node => node.IsMonitorOwned && !ofDrives.Contains(node) && node.Parents.All(edge => edge.Parent is not BlockNode))
            .Select(node => ("", node)));
        return disks;
    }
}
