using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Storage.Images;

/// <summary>Checks an image for <c>x-blockdev-check</c>; for a repair its node is stopped, and made writable if it is not.</summary>
internal static class ImageCheck
{
    /// <summary>Checks. Starts as a turn and resumes as turns.</summary>
    /// <exception cref="QmpException">The image cannot be written, or the node has gone.</exception>
    /// <exception cref="BlockIoException">The medium failed; nothing was repaired.</exception>
    public static async Task RunAsync(BlockGraph graph, string nodeName, ImageCheckFix fix)
    {
        using GraphChange change = await graph.ChangeAsync();
        Qcow2Node image = Get(graph, nodeName);
        if (fix == ImageCheckFix.None)
        {
            await BlockThreads.RunAsync(() => image.CheckAsync(fix));
            return;
        }

        BlockGraph.CheckActive(image);
        using DrainedSection section = await graph.DrainAsync(image);
        if (image.IsReadOnly)
        {
            await RepairReadOnlyAsync(graph, image, fix);
        }
        else
        {
            await BlockThreads.RunAsync(() => image.CheckAsync(fix));
        }
    }

    /// <summary>The image that a client names.</summary>
    /// <exception cref="QmpException">There is no such node, or it is no image that can be checked.</exception>
    public static Qcow2Node Get(BlockGraph graph, string nodeName) =>
        graph.Get(nodeName) as Qcow2Node ?? throw new QmpException("This image format does not support checks");

    /// <summary>A corrupt image can only be open read-only, so its repair opens it for writing, for that alone.</summary>
    private static async Task RepairReadOnlyAsync(BlockGraph graph, Qcow2Node image, ImageCheckFix fix)
    {
        image.SetUnderRepair(true);
        try
        {
            await BlockReopen.SetReadOnlyAsync(graph, image, readOnly: false);
            try
            {
                await BlockThreads.RunAsync(() => image.CheckAsync(fix));
            }
            finally
            {
                await BlockReopen.SetReadOnlyAsync(graph, image, readOnly: true);
            }
        }
        finally
        {
            image.SetUnderRepair(false);
        }
    }
}
