using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Io;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Images;

/// <summary>Creates empty images, for <c>blockdev-create</c> and for the jobs that create their target.</summary>
internal static class ImageCreation
{
    /// <summary>Whether images of that driver can be created.</summary>
    public static bool Supports(BlockdevDriver driver) => driver is BlockdevDriver.File or BlockdevDriver.Qcow2;

    /// <summary>Creates an image. Starts as a turn and resumes as turns; not under a held <see cref="GraphChange"/>.</summary>
    /// <param name="graph">Where a qcow2 image's file node is, or is opened meanwhile.</param>
    /// <param name="options">A driver that <see cref="Supports"/> names.</param>
    /// <exception cref="QmpException">The options contradict each other, or a node or file cannot be used.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static Task CreateAsync(BlockGraph graph, BlockdevCreateOptions options) =>
        options.Driver == BlockdevDriver.File ? FileImage.CreateAsync(options.File) : CreateQcow2Async(graph, options.Qcow2);

    private static async Task CreateQcow2Async(BlockGraph graph, BlockdevCreateOptionsQcow2 options)
    {
        BlockNode file = await FindAsync(graph, options.File);
        var doors = new List<BlockBackend>();
        var nodes = new List<BlockNode> { file };
        try
        {
            doors.Add(await AttachAsync(graph, file));
            BlockNode? dataFile = null;
            if (options.DataFile is { } given)
            {
                dataFile = await FindAsync(graph, given);
                nodes.Add(dataFile);
                doors.Add(await AttachAsync(graph, dataFile));
            }

            await BlockThreads.RunAsync(() => Qcow2Image.CreateAsync(file, options, dataFile));
        }
        finally
        {
            using GraphChange change = await graph.ChangeAsync();
            foreach (BlockBackend door in doors)
            {
                await graph.DetachRootAsync(door);
            }

            foreach (BlockNode node in nodes)
            {
                await graph.ReleaseAsync(node);
            }
        }
    }

    private static async Task<BlockNode> FindAsync(BlockGraph graph, BlockdevRef reference) => reference.Definition is { } definition
        ? await BlockOpener.OpenAsync(graph, definition, monitorOwned: false)
        : graph.GetDeviceOrNode(reference.Reference!);

    private static async Task<BlockBackend> AttachAsync(BlockGraph graph, BlockNode node)
    {
        var door = new BlockBackend();
        using GraphChange change = await graph.ChangeAsync();
        graph.AttachRoot(door, node, BlockPermission.Write | BlockPermission.Resize, BlockPermission.All);
        return door;
    }
}
