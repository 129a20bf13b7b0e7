using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary>Who forbids that a node is removed, resized or given an overlay: a job that copies it, an overlay that reads it.</summary>
internal static class OperationBlockers
{
    /// <summary>Refuses if somebody does.</summary>
    /// <exception cref="QmpException">A job or an overlay uses the node.</exception>
    public static void Check(JobManager jobs, BlockNode node)
    {
        jobs.CheckNotInUse(node);
        foreach (BlockChild edge in node.Parents)
        {
            if ((edge.Role & BlockChildRole.CopyOnWrite) != 0 && edge.Parent is BlockNode overlay)
            {
                throw new QmpException($"Node '{node.NodeName}' is busy: node is used as backing hd of '{overlay.NodeName}'");
            }
        }
    }
}
