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
        BlockNode file = options.File.Definition is { } definition
            ? await BlockOpener.OpenAsync(graph, definition, monitorOwned: false)
            : graph.GetDeviceOrNode(options.File.Reference!);
        var door = new BlockBackend();
        try
        {
            using (await graph.ChangeAsync())
            {
                graph.AttachRoot(door, file, BlockPermission.Write | BlockPermission.Resize, BlockPermission.All);
            }

            await BlockThreads.RunAsync(() => Qcow2Image.CreateAsync(file, options));
        }
        finally
        {
            using GraphChange change = await graph.ChangeAsync();
            await graph.DetachRootAsync(door);
            await graph.ReleaseAsync(file);
        }
    }
}
