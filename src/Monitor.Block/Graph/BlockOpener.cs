using Monitor.Block.Drivers;
using Monitor.Block.Drivers.File;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Makes nodes from options: a tree of definitions, with the backing chain that the images name, opened as one and added as one.</summary>
/// <remarks>
/// Order, for every node, which decides what a client hears of several mistakes: its file; its own settings; its name; its edges (permissions
/// are checked), opening the other children on the way; its medium, read on a block thread; its backing node. Nothing is in the graph until everything is open, so no one sees half a tree; a failure closes and
/// frees everything in reverse. Edges to nodes that are in the graph already are put under the gate for graph changes, which the
/// caller must not hold meanwhile.
/// </remarks>
public sealed class BlockOpener
{
    private readonly BlockGraph _graph;
    private readonly List<(BlockNode Node, NodeNameReservation Name)> _made = [];
    private readonly HashSet<BlockNode> _opened = [];
    private readonly HashSet<FileIdentity> _chain = [];

    private BlockOpener(BlockGraph graph) => _graph = graph;

    /// <summary>Opens a node and everything below it that its options or images name. Starts as a turn and resumes as turns.</summary>
    /// <param name="graph">Gets the nodes.</param>
    /// <param name="options">The node; without a name it gets a generated one.</param>
    /// <param name="monitorOwned">Whether the client keeps the node until it deletes it.</param>
    /// <returns>The node, in the graph.</returns>
    /// <exception cref="QmpException">An image cannot be opened, is not what the options say, or is in use; the graph is as before.</exception>
    public static async Task<BlockNode> OpenAsync(BlockGraph graph, BlockdevOptions options, bool monitorOwned)
    {
        var opener = new BlockOpener(graph);
        try
        {
            BlockNode root = await opener.OpenNodeAsync(options, BlockNodeInheritance.Root);
            opener.AddToGraph();
            root.IsMonitorOwned = monitorOwned;
            return root;
        }
        catch
        {
            await opener.UndoAsync();
            throw;
        }
    }

    private async Task<BlockNode> OpenNodeAsync(BlockdevOptions options, BlockNodeInheritance inherited)
    {
        IBlockDriver driver = BlockDriverTable.Get(options.Driver);
        BlockNodeSettings settings = inherited.Settle(options, options.NodeName ?? NodeName.Generate());
        IReadOnlyList<BlockChildSpec> specs = driver.Children(options);
        BlockNode? file = specs.FirstOrDefault(spec => spec.Name == BlockNode.FileChild) is { Reference: { } reference } ? await OpenChildAsync(reference, settings) : null;
        settings.CheckForceShare();
        settings.CheckDetectZeroes();
        BlockNode node = Make(driver, settings, options);
        foreach (BlockChildSpec spec in specs)
        {
            BlockNode? child = spec.Name == BlockNode.FileChild ? file : await OpenChildAsync(spec.Reference, settings);
            await AttachAsync(node, child, spec.Reference.Reference, spec.Name, spec.Role);
        }

        node.OnAttached();
        await OpenMediumAsync(node);
        await OpenDataFileAsync(node, driver.DataFile(options));
        await OpenBackingAsync(node, driver.Backing(options));
        return node;
    }

    /// <summary>Opens a child that is defined here.</summary>
    /// <returns><see langword="null"/> for one that is named; it is looked up again when it is attached, for much may happen until then.</returns>
    private async Task<BlockNode?> OpenChildAsync(BlockdevRef reference, BlockNodeSettings parent)
    {
        if (reference.Definition is { } definition)
        {
            return await OpenNodeAsync(definition, BlockNodeInheritance.Child(parent));
        }

        Lookup(reference.Reference!);
        return null;
    }

    /// <summary>A node of the graph, or one that is being opened here.</summary>
    private BlockNode Lookup(string name) => _made.Find(made => made.Node.NodeName == name).Node ?? _graph.GetDeviceOrNode(name);

    private BlockNode Make(IBlockDriver driver, BlockNodeSettings settings, BlockdevOptions options)
    {
        NodeNameReservation name = options.NodeName is null ? _graph.ReserveGenerated(settings.NodeName) : _graph.Reserve(settings.NodeName);
        try
        {
            BlockNode node = driver.Create(settings, options, _graph);
            node.Definition = options;
            _made.Add((node, name));
            return node;
        }
        catch
        {
            name.Dispose();
            throw;
        }
    }

    private async Task AttachAsync(BlockNode parent, BlockNode? child, string? reference, string name, BlockChildRole role)
    {
        if (child is not null)
        {
            child.InheritsFrom = parent;
            _graph.AttachChild(parent, child, name, role);
            return;
        }

        using GraphChange change = await _graph.ChangeAsync();
        _graph.AttachChild(parent, Lookup(reference!), name, role);
    }

    private async Task OpenMediumAsync(BlockNode node)
    {
        try
        {
            await BlockThreads.RunAsync(node.OpenAsync);
        }
        catch (BlockIoException e)
        {
            string what = node.FileName.Length > 0 ? $"'{node.FileName}'" : "image";
            throw new QmpException($"Could not open {what}: {e.Message}");
        }

        _opened.Add(node);
    }

    private async Task OpenDataFileAsync(BlockNode node, BlockdevRef? given)
    {
        given ??= node.DataFileFromImage switch
        {
            null => null,
            { Length: > 0 } name => new BlockdevRef { Definition = ImageFileName.File(name) },
            _ => throw new QmpException("'data-file' is required for this image"),
        };
        if (given is null)
        {
            return;
        }

        BlockNode? dataFile = await OpenChildAsync(given, node.Settings);
        await AttachAsync(node, dataFile, given.Reference, BlockNode.DataFileChild, BlockChildRole.Data);
        _ = node.DataFileFromImage ?? throw new QmpException("'data-file' can only be set for images with an external data file");
        node.AdoptDataFile();
    }

    private async Task OpenBackingAsync(BlockNode node, BlockdevRefOrNull? given)
    {
        if (given is { Null: not null } or { Reference: "" } || (given is null && node.BackingFromImage is null))
        {
            return;
        }

        BlockNode? backing;
        try
        {
            BlockdevOptions? definition = given is null ? await NamedByImageAsync(node) : given.Definition;
            backing = definition is null ? null : await OpenNodeAsync(definition, BlockNodeInheritance.Backing(node.Settings));
            _ = backing ?? Lookup(given!.Reference!);
        }
        catch (QmpException e)
        {
            throw new QmpException(e.ErrorClass, $"Could not open backing file: {e.Message}") { Hint = e.Hint };
        }

        await AttachAsync(node, backing, given?.Reference, "backing", BlockChildRole.CopyOnWrite);
        if (given is null)
        {
            node.ImpliedBackingName = node.Backing!.Node.FileName;
        }
    }

    /// <summary>The options of the backing file that the image's header names; refuses a chain that comes back to a file it has passed.</summary>
    private async Task<BlockdevOptions> NamedByImageAsync(BlockNode node)
    {
        BackingImage backing = node.BackingFromImage!;
        if (FileBelow(node) is { } file && !_chain.Add(file.Identity))
        {
            throw new QmpException($"Backing file '{backing.FileName}' of '{node.MediumName}' leads back to the image itself");
        }

        return await BlockThreads.RunAsync(() => BackingFileOptions.From(backing, node.MediumName));
    }

    private static FileNode? FileBelow(BlockNode node)
    {
        BlockNode? below = node;
        while (below is not (null or FileNode))
        {
            below = below.FindChild(BlockChildRole.Primary | BlockChildRole.Filtered)?.Node;
        }

        return below as FileNode;
    }

    private void AddToGraph()
    {
        foreach (var (node, name) in _made)
        {
            _graph.Add(node);
            name.Dispose();
        }
    }

    private async Task UndoAsync()
    {
        while (_made.Count > 0)
        {
            // Users first, what they use after them.
            int i = _made.FindLastIndex(m => m.Node.Parents.Count == 0);
            var (node, name) = _made[i];
            _made.RemoveAt(i);
            node.OnReleased();
            if (_opened.Contains(node))
            {
                await BlockThreads.RunAsync(node.CloseAsync);
            }

            await _graph.ReleaseChildrenAsync(node);
            name.Dispose();
        }
    }
}
