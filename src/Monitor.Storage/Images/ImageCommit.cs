using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Qapi;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Images;

/// <summary>Writes what an image has of its own into its backing image, while nobody uses either.</summary>
/// <remarks>
/// The image is empty afterwards, if its format can be emptied: only when everything is safe in the backing image, so that it reads the
/// same at any time. Meanwhile it lets go of its backing image, which otherwise nobody might write.
/// </remarks>
internal static class ImageCommit
{
    private const int BufferBytes = 1 << 20;

    /// <summary>Does it; a turn that resumes as turns. A <see cref="GraphChange"/> is held.</summary>
    /// <param name="graph">Where the image is.</param>
    /// <param name="top">The image; it has a backing node.</param>
    /// <exception cref="BlockIoException">The backing image cannot be made writable (EACCES), or the medium failed; what was written by then stays written, and changes nothing that is read from the image.</exception>
    /// <exception cref="QmpException">The image cannot be written.</exception>
    public static async Task RunAsync(BlockGraph graph, BlockNode top)
    {
        BlockNode below = top.Backing!.Node;
        BlockGraph.CheckActive(below);
        using DrainedSection section = await graph.DrainAsync(below);
        bool wasReadOnly = below.IsReadOnly;
        if (wasReadOnly)
        {
            await MakeWritableAsync(graph, below);
        }

        var door = new BlockBackend();
        graph.AttachRoot(door, below, BlockPermission.None, BlockPermission.All);
        await graph.DetachAsync(top.Backing);
        try
        {
            _ = top.IsReadOnly ? throw new QmpException("Block node is read-only") : top;
            graph.SetPermissions(door, BlockPermission.Write | BlockPermission.Resize, BlockPermission.All);
            await BlockThreads.RunAsync(() => CopyAsync(top, below));
            await BlockThreads.RunAsync(() => EmptyAsync(top));
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

    private static async Task MakeWritableAsync(BlockGraph graph, BlockNode below)
    {
        try
        {
            await BlockReopen.SetReadOnlyAsync(graph, below, readOnly: false);
        }
        catch (QmpException)
        {
            throw new BlockIoException(Errno.EACCES);
        }
    }

    private static async ValueTask EmptyAsync(BlockNode top)
    {
        try
        {
            await top.MakeEmptyAsync().ConfigureAwait(false);
        }
        catch (BlockIoException e) when (e.Errno == Errno.ENOTSUP)
        {
            // It keeps its copy, and reads the same.
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
