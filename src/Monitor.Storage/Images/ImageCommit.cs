using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Images;

/// <summary>Writes what an image has of its own into its backing image, while nobody uses either.</summary>
/// <remarks>
/// The image keeps its copy: it reads the same as before, and so does the backing image now. Meanwhile it lets go of its backing image,
/// which otherwise nobody might write.
/// </remarks>
internal static class ImageCommit
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Does it; a turn that resumes as turns. A <see cref="GraphChange"/> is held.</summary>
    /// <param name="graph">Where the image is.</param>
    /// <param name="top">The image; it has a backing node.</param>
    /// <exception cref="BlockIoException">The medium failed; what was written by then stays written, and changes nothing that is read from the image.</exception>
    /// <exception cref="QmpException">The backing image cannot be made writable.</exception>
    public static async Task RunAsync(BlockGraph graph, BlockNode top)
    {
        BlockNode below = top.Backing!.Node;
        BlockGraph.CheckActive(below);
        using DrainedSection section = await graph.DrainAsync(below);
        bool wasReadOnly = below.IsReadOnly;
        if (wasReadOnly)
        {
            await BlockReopen.SetReadOnlyAsync(graph, below, readOnly: false);
        }

        var door = new BlockBackend();
        graph.AttachRoot(door, below, BlockPermission.None, BlockPermission.All);
        await graph.DetachAsync(top.Backing);
        try
        {
            graph.SetPermissions(door, BlockPermission.Write | BlockPermission.Resize, BlockPermission.All);
            await BlockThreads.RunAsync(() => CopyAsync(top, below));
        }
        finally
        {
            graph.SetPermissions(door, BlockPermission.None, BlockPermission.All);
            graph.AttachChild(top, below, "backing", BlockChildRole.CopyOnWrite);
            await graph.DetachRootAsync(door);
            if (wasReadOnly)
            {
                await BlockReopen.SetReadOnlyAsync(graph, below, readOnly: true);
            }
        }
    }

    private static async ValueTask CopyAsync(BlockNode top, BlockNode below)
    {
        if (below.SizeBytes < top.SizeBytes)
        {
            await below.TruncateAsync(top.SizeBytes).ConfigureAwait(false);
        }

        byte[] buffer = GC.AllocateUninitializedArray<byte>(BufferBytes, pinned: true);
        for (long offset = 0; offset < top.SizeBytes;)
        {
            BlockMapping mapping = await top.MapAsync(offset, top.SizeBytes - offset).ConfigureAwait(false);
            long length = mapping.Length;
            if (mapping.Kind == BlockMappingKind.Zero)
            {
                await below.WriteZeroesAsync(offset, length, BlockWriteFlags.MayUnmap).ConfigureAwait(false);
            }
            else if (mapping.Kind != BlockMappingKind.Backing)
            {
                length = Math.Min(length, BufferBytes);
                Memory<byte> piece = buffer.AsMemory(0, (int)length);
                await top.ReadAsync(offset, piece).ConfigureAwait(false);
                await below.WriteAsync(offset, piece).ConfigureAwait(false);
            }

            offset += length;
        }

        await below.FlushAsync().ConfigureAwait(false);
    }
}
