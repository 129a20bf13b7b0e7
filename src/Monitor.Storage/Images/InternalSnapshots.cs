using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Images;

/// <summary>Finds the image whose snapshots a client means, and the snapshot in it.</summary>
internal static class InternalSnapshots
{
    /// <summary>The image that keeps a node's snapshots: itself, or for filters and <c>raw</c> the node below; <see langword="null"/> if that cannot.</summary>
    public static Qcow2Node? Find(BlockNode node) => NodeDescription.SkipTransparent(node) as Qcow2Node;

    /// <summary>The node that a client names to take or delete a snapshot.</summary>
    /// <exception cref="QmpException">There is none, it is not the top of its tree, or a job uses it.</exception>
    public static BlockNode GetNode(JobManager jobs, string device)
    {
        BlockNode node = jobs.Graph.GetRoot(device);
        jobs.CheckNotInUse(node);
        return node;
    }

    /// <summary>The snapshot with an id, a name, or both.</summary>
    public static SnapshotInfo? Find(Qcow2Node image, string? id, string? name) =>
        image.ListSnapshots().FirstOrDefault(snapshot => (id is null || snapshot.Id == id) && (name is null || snapshot.Name == name));
}
