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
        if (Find(jobs, node) is { } reason)
        {
            throw new QmpException($"Node '{node.NodeName}' is busy: {reason}");
        }
    }

    /// <summary>Who does, as a refusal says it; <see langword="null"/> if nobody does.</summary>
    public static string? Find(JobManager jobs, BlockNode node)
    {
        if (jobs.FindUser(node) is { } user)
        {
            return $"block device is in use by block job: {user.Type.ToWire()}";
        }

        foreach (BlockChild edge in node.Parents)
        {
            if ((edge.Role & BlockChildRole.CopyOnWrite) != 0 && edge.Parent is BlockNode overlay)
            {
                return $"node is used as backing hd of '{overlay.NodeName}'";
            }
        }

        return null;
    }
}
