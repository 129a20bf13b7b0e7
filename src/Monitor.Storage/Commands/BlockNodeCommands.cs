using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using Monitor.Storage.Images;
using Monitor.Storage.Objects;
using Monitor.Storage.Transactions;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>block-node</c>: nodes are added, removed, created and described.</summary>
/// <param name="jobs">All jobs; knows the graph.</param>
/// <param name="objects">The iothreads.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
/// <param name="drives">All drives.</param>
public sealed partial class BlockNodeCommands(JobManager jobs, ObjectStore objects, DaemonLifetime lifetime, DriveManager drives) : IBlockNodeCommands
{
    private BlockGraph Graph => jobs.Graph;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<BlockInfo>> QueryBlockAsync()
    {
        var found = new List<BlockInfo>(drives.All.Count);
        foreach (Drive drive in drives.All)
        {
            found.Add(DriveDescription.Describe(drive));
        }

        return new(found);
    }

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
    public ValueTask<IReadOnlyList<BlockStats>> QueryBlockstatsAsync(QueryBlockstatsArguments arguments)
    {
        var figures = new List<BlockStats>();
        if (arguments.QueryNodes == true)
        {
            figures.EnsureCapacity(Graph.Nodes.Count);
            foreach (BlockNode node in Graph.Nodes)
            {
                figures.Add(BlockStatisticsDescription.Describe(node));
            }
        }
        else
        {
            foreach (Drive drive in drives.All)
            {
                figures.Add(BlockStatisticsDescription.Describe(drive));
            }
        }

        return new(figures);
    }

    /// <inheritdoc/>
    public ValueTask<XDbgBlockGraph> XDebugQueryBlockGraphAsync() => new(BlockGraphDescription.Describe(jobs, drives.All));

    /// <inheritdoc/>
    public ValueTask BlockSetWriteThresholdAsync(BlockSetWriteThresholdArguments arguments)
    {
        BlockNode node = Graph.Find(arguments.NodeName) ?? throw new QmpException($"Device '{arguments.NodeName}' not found");
        node.WriteThreshold = arguments.WriteThreshold == 0 ? null : new WriteThreshold(node.NodeName, arguments.WriteThreshold, Graph.Events);
        return default;
    }

    /// <inheritdoc/>
    /// <remarks>Requests run on all cores whatever it says; what can be refused is refused.</remarks>
    public ValueTask XBlockdevSetIothreadAsync(XBlockdevSetIothreadArguments arguments)
    {
        BlockNode node = Graph.Get(arguments.NodeName);
        if (arguments.Force != true && node.Parents.Any(edge => edge.Parent is BlockBackend))
        {
            throw new QmpException(
                $"Node {node.NodeName} is associated with a BlockBackend and could be in use (use force=true to override this check)");
        }

        return arguments.Iothread.String is { } id && !objects.HasIothread(id) ? throw new QmpException($"Cannot find iothread {id}") : default;
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

        ImageJob.Start(jobs, JobType.Create, arguments.JobId, () => new ValueTask(Graph.Loop.RunAsync(() => ImageCreation.CreateAsync(Graph, options))));
        return default;
    }

    /// <summary>Refuses a node that a job copies or an overlay reads.</summary>
    /// <exception cref="QmpException">One does.</exception>
    internal void CheckNoJobUses(BlockNode node) => OperationBlockers.Check(jobs, node);

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

        OperationBlockers.Check(jobs, node);
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
