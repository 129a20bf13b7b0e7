using Monitor.Block.Drivers.Qcow2;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Commands;

/// <summary>Checks of images.</summary>
public sealed partial class BlockNodeCommands
{
    /// <inheritdoc/>
    public ValueTask XBlockdevCheckAsync(XBlockdevCheckArguments arguments)
    {
        lifetime.CheckRunning();
        jobs.CheckNotInUse(ImageCheck.Get(Graph, arguments.NodeName));
        ImageCheckFix fix = arguments.Fix switch
        {
            BlockCheckFix.Leaks => ImageCheckFix.Leaks,
            BlockCheckFix.All => ImageCheckFix.All,
            _ => ImageCheckFix.None,
        };
        ImageJob.Start(
            jobs, JobType.Check, arguments.JobId, () => new ValueTask(Graph.Loop.RunAsync(() => ImageCheck.RunAsync(Graph, arguments.NodeName, fix))));
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<BlockCheckInfo> XQueryBlockCheckAsync(XQueryBlockCheckArguments arguments)
    {
        (ImageCheckFix fix, ImageCheckFindings findings) = ImageCheck.Get(Graph, arguments.NodeName).LastCheck
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
}
