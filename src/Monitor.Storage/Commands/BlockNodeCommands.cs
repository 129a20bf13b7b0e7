using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>block-node</c>: nodes are added, removed, created and described.</summary>
/// <param name="jobs">All jobs; knows the graph.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class BlockNodeCommands(JobManager jobs, DaemonLifetime lifetime) : IBlockNodeCommands
{
    private BlockGraph Graph => jobs.Graph;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<BlockInfo>> QueryBlockAsync() => new([]);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<BlockDeviceInfo>> QueryNamedBlockNodesAsync(QueryNamedBlockNodesArguments arguments)
    {
        var found = new List<BlockDeviceInfo>(Graph.Nodes.Count);
        for (int i = Graph.Nodes.Count - 1; i >= 0; i--)
        {
            found.Add(NodeDescription.Describe(Graph.Nodes[i], arguments.Flat ?? false));
        }

        return new(found);
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevAddAsync(BlockdevOptions arguments)
    {
        lifetime.CheckRunning();
        if (arguments.NodeName is null)
        {
            throw new QmpException("'node-name' must be specified for the root node");
        }

        await BlockOpener.OpenAsync(Graph, arguments, monitorOwned: true);
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevDelAsync(BlockdevDelArguments arguments)
    {
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode node = Graph.Get(arguments.NodeName);
        CheckUnused(node);
        await Graph.DisownAsync(node);
    }

    /// <inheritdoc/>
    public ValueTask BlockdevCreateAsync(BlockdevCreateArguments arguments)
    {
        lifetime.CheckRunning();
        BlockdevCreateOptions options = arguments.Options;
        if (!ImageCreation.Supports(options.Driver))
        {
            throw new QmpException("Driver does not support blockdev-create");
        }

        CreateJob.Start(jobs, arguments.JobId, () => new ValueTask(Graph.Loop.RunAsync(() => ImageCreation.CreateAsync(Graph, options))));
        return default;
    }

    private void CheckUnused(BlockNode node)
    {
        foreach (BlockChild edge in node.Parents)
        {
            // A job's door to its source stays at the node and leaves it to the other checks; one that writes (a mirror's target) is a user.
            if (edge.Parent is BlockBackend && (!edge.StaysAtNode || (edge.Used & BlockPermission.Write) != 0))
            {
                throw new QmpException($"Node {node.NodeName} is in use");
            }
        }

        jobs.CheckNotInUse(node);
        foreach (BlockChild edge in node.Parents)
        {
            if ((edge.Role & BlockChildRole.CopyOnWrite) != 0 && edge.Parent is BlockNode overlay)
            {
                throw new QmpException($"Node '{node.NodeName}' is busy: node is used as backing hd of '{overlay.NodeName}'");
            }
        }

        if (!node.IsMonitorOwned)
        {
            throw new QmpException($"Node {node.NodeName} is not owned by the monitor");
        }

        if (node.Parents.Count > 0)
        {
            throw new QmpException($"Block device {node.NodeName} is in use");
        }
    }
}
