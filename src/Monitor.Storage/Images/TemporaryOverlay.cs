using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Storage.Images;

/// <summary>A qcow2 file without a name above a node: takes what is written, and is gone when it is closed.</summary>
internal static class TemporaryOverlay
{
    /// <summary>Makes one; a turn.</summary>
    /// <param name="graph">Gets the node.</param>
    /// <param name="below">The node that is no longer written to.</param>
    /// <exception cref="QmpException">The file cannot be made.</exception>
    public static async Task<BlockNode> OpenAsync(BlockGraph graph, BlockNode below)
    {
        string path = Path.Combine(Environment.GetEnvironmentVariable("TMPDIR") ?? "/var/tmp", $"vl.{Path.GetRandomFileName()}");
        BlockdevRef file = new()
        {
            Definition = new BlockdevOptions { Driver = BlockdevDriver.File, Branch = new BlockdevOptionsFile { Filename = path } },
        };
        try
        {
            await CreateAsync(graph, BlockdevDriver.File, new BlockdevCreateOptionsFile { Filename = path, Size = 0 });
            await CreateAsync(graph, BlockdevDriver.Qcow2, new BlockdevCreateOptionsQcow2 { File = file, Size = (ulong)below.SizeBytes });
            return await BlockOpener.OpenAsync(
                graph,
                new BlockdevOptions
                {
                    Driver = BlockdevDriver.Qcow2,
                    ReadOnly = false,
                    Cache = new BlockdevCacheOptions { NoFlush = true },
                    Branch = new BlockdevOptionsQcow2 { File = file, Backing = new BlockdevRefOrNull { Reference = below.NodeName } },
                },
                monitorOwned: false);
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not create temporary overlay '{path}': {e.Message}");
        }
        finally
        {
            await BlockThreads.RunAsync(() => File.Delete(path));
        }
    }

    private static Task CreateAsync(BlockGraph graph, BlockdevDriver driver, object options) =>
        ImageCreation.CreateAsync(graph, new BlockdevCreateOptions { Driver = driver, Branch = options });
}
