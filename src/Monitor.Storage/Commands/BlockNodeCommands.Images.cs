using Monitor.Block;
using Monitor.Block.Drivers.Quorum;
using Monitor.Block.Io;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Transactions;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Commands;

/// <summary>Changes of open images: their options, size, backing file name.</summary>
public sealed partial class BlockNodeCommands
{
    /// <inheritdoc/>
    public async ValueTask BlockResizeAsync(BlockResizeArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode node = Graph.Lookup(arguments.Device, arguments.NodeName);
        if (arguments.Size < 0)
        {
            throw new QmpException("Parameter 'size' expects a >0 size");
        }

        if (OperationBlockers.Find(jobs, node) is not null)
        {
            // The name is written as QEMU's C library writes one that is missing.
            throw new QmpException($"Device '{arguments.Device ?? "(null)"}' is in use");
        }

        var door = new BlockBackend();
        Graph.AttachRoot(door, node, BlockPermission.Resize, BlockPermission.All);
        try
        {
            CheckResizable(node, arguments.Size);
            using DrainedSection section = await Graph.DrainAsync(node);
            await BlockThreads.RunAsync(() => node.TruncateAsync(arguments.Size));
            DaemonLog.Info("Storage", $"node {node.NodeName} resized to {arguments.Size} bytes");
        }
        catch (BlockIoException e)
        {
            throw new QmpException(e.Message);
        }
        finally
        {
            await Graph.DetachRootAsync(door);
        }
    }

    private static void CheckResizable(BlockNode node, long sizeBytes)
    {
        if (sizeBytes > BlockNode.MaximumSizeBytes)
        {
            throw new QmpException($"offset({sizeBytes}) exceeds maximum({BlockNode.MaximumSizeBytes})");
        }

        if (node.IsReadOnly)
        {
            throw new QmpException("Image is read-only");
        }
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevSetActiveAsync(BlockdevSetActiveArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode? node = arguments.NodeName is { } name ? Graph.Get(name) : null;
        IReadOnlyList<BlockNode> nodes = node is null ? Graph.Nodes : [node];
        if (arguments.Active)
        {
            await BlockActivation.ActivateAsync(Graph, nodes);
            return;
        }

        if (node is not null && node.Parents.Any(edge => edge.Parent is BlockNode { IsActive: true }))
        {
            throw new QmpException("Node has active parent node");
        }

        try
        {
            await BlockActivation.InactivateAsync(Graph, nodes);
        }
        catch (QmpException e)
        {
            throw new QmpException($"Failed to inactivate {(node is null ? "all nodes" : "node")}: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public async ValueTask ChangeBackingFileAsync(ChangeBackingFileArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode top = Graph.GetRoot(arguments.Device);
        BlockNode image = Graph.Lookup("", arguments.ImageNodeName);
        if (image.FindChild(BlockChildRole.CopyOnWrite) is null && !image.IsFilter)
        {
            throw new QmpException("not allowing backing file change on an image without a backing file");
        }

        jobs.CheckNotInUse(image);
        if (!IsInChain(top, image))
        {
            throw new QmpException($"'{arguments.Device}' and image file are not in the same chain");
        }

        BlockGraph.CheckActive(image);
        using DrainedSection section = await Graph.DrainAsync(image);
        bool wasReadOnly = image.IsReadOnly;
        if (wasReadOnly)
        {
            await BlockReopen.SetReadOnlyAsync(Graph, image, readOnly: false);
        }

        try
        {
            BackingImage? backing = arguments.BackingFile.Length > 0 ? new BackingImage(arguments.BackingFile, image.DriverName) : null;
            await BlockThreads.RunAsync(() => image.ChangeBackingFileAsync(backing));
            image.ForgetImpliedBackingName();
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not change backing file to '{arguments.BackingFile}': {e.Message}");
        }
        finally
        {
            if (wasReadOnly)
            {
                await BlockReopen.SetReadOnlyAsync(Graph, image, readOnly: true);
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevReopenAsync(BlockdevReopenArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        await BlockReopen.RunAsync(Graph, arguments.Options);
    }

    /// <inheritdoc/>
    /// <remarks>Only a quorum has children that come and go.</remarks>
    public async ValueTask XBlockdevChangeAsync(XBlockdevChangeArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        BlockNode parent = Graph.GetDeviceOrNode(arguments.Parent);
        if (arguments.Child is null == arguments.Node is null)
        {
            throw new QmpException(
                arguments.Child is null ? "Either child or node must be specified" : "The parameters child and node are in conflict");
        }

        if (arguments.Child is { } name)
        {
            await RemoveChildAsync(parent, name);
        }
        else
        {
            await AddChildAsync(parent, arguments.Node!);
        }
    }

    /// <inheritdoc/>
    /// <remarks>Of what can be amended only encryption is known to the schema, and that is not built: what remains is a job that has nothing to do.</remarks>
    public ValueTask XBlockdevAmendAsync(XBlockdevAmendArguments arguments)
    {
        lifetime.CheckRunning();
        BlockNode node = Graph.Lookup("", arguments.NodeName);
        if (node.DriverName != arguments.Options.Driver.ToWire())
        {
            throw new QmpException("x-blockdev-amend doesn't support changing the block driver");
        }

        if (arguments.Options.Driver != BlockdevDriver.Qcow2)
        {
            throw new QmpException("Driver does not support x-blockdev-amend");
        }

        ImageJob.Start(jobs, JobType.Amend, arguments.JobId, () => default);
        return default;
    }

    private async ValueTask RemoveChildAsync(BlockNode parent, string name)
    {
        BlockChild edge = parent.Children.FirstOrDefault(child => child.Name == name)
            ?? throw new QmpException($"Node '{parent.NodeName}' does not have child '{name}'");
        if (parent is not QuorumNode quorum)
        {
            throw new QmpException($"The node {parent.NodeName} does not support removing a child");
        }

        quorum.CheckMayShrink();
        ValueTask removed;
        using (await Graph.DrainAsync(quorum))
        {
            removed = quorum.RemoveChildAsync(Graph, edge);
        }

        await removed;
    }

    private async ValueTask AddChildAsync(BlockNode parent, string name)
    {
        BlockNode node = Graph.Find(name) ?? throw new QmpException($"Node '{name}' not found");
        if (parent is not QuorumNode quorum)
        {
            throw new QmpException($"The node {parent.NodeName} does not support adding a child");
        }

        if (node.Parents.Count > 0)
        {
            throw new QmpException($"The node {name} already has a parent");
        }

        quorum.CheckMayGrow();
        using DrainedSection section = await Graph.DrainAsync(quorum);
        quorum.AddChild(Graph, node);
    }

    private static bool IsInChain(BlockNode top, BlockNode image)
    {
        for (BlockNode? node = top; node is not null; node = node.FilteredOrBacking?.Node)
        {
            if (node == image)
            {
                return true;
            }
        }

        return false;
    }
}
