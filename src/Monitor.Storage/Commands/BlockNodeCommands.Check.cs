using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Commands;

/// <summary>Checks of images.</summary>
public sealed partial class BlockNodeCommands
{
    /// <inheritdoc/>
    public async ValueTask XBlockdevCheckAsync(XBlockdevCheckArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        Qcow2Node image = GetCheckable(arguments.NodeName);
        jobs.CheckNotInUse(image);
        ImageCheckFix fix = arguments.Fix switch
        {
            BlockCheckFix.Leaks => ImageCheckFix.Leaks,
            BlockCheckFix.All => ImageCheckFix.All,
            _ => ImageCheckFix.None,
        };
        CheckJob.Start(jobs, arguments.JobId, image, fix);
    }

    /// <inheritdoc/>
    public ValueTask<BlockCheckInfo> XQueryBlockCheckAsync(XQueryBlockCheckArguments arguments)
    {
        (ImageCheckFix fix, ImageCheckFindings findings) = GetCheckable(arguments.NodeName).LastCheck
            ?? throw new QmpException($"Node '{arguments.NodeName}' has not been checked");
        return new(new BlockCheckInfo
        {
            NodeName = arguments.NodeName,
            Fix = fix switch
            {
                ImageCheckFix.None => BlockCheckFix.None,
                ImageCheckFix.Leaks => BlockCheckFix.Leaks,
                _ => BlockCheckFix.All,
            },
            CheckErrors = findings.CheckErrors,
            Corruptions = findings.Corruptions,
            Leaks = findings.Leaks,
            CorruptionsFixed = findings.CorruptionsFixed,
            LeaksFixed = findings.LeaksFixed,
            TotalClusters = findings.TotalClusters,
            AllocatedClusters = findings.AllocatedClusters,
            FragmentedClusters = findings.FragmentedClusters,
            CompressedClusters = findings.CompressedClusters,
            ImageEndOffset = findings.ImageEndOffset,
            Messages = [.. findings.Messages],
        });
    }

    private Qcow2Node GetCheckable(string nodeName) =>
        Graph.Get(nodeName) as Qcow2Node ?? throw new QmpException("This image format does not support checks");
}
