using Monitor.Block;
using Monitor.Block.Io;

namespace Monitor.Storage.Hmp.QemuIo;

/// <summary>Whether a node itself, its filters and backing nodes not counted, holds a range.</summary>
internal static class QemuIoAllocation
{
    /// <summary>The longest run from a place on that is all held or all not.</summary>
    /// <exception cref="QemuIoException">The medium failed.</exception>
    public static async Task<(bool IsAllocated, long Length)> FindAsync(BlockBackend backend, long offset, long length)
    {
        BlockNode node = backend.Node.SkipFilters();
        await backend.EnterAsync();
        try
        {
            return await BlockThreads.RunAsync(async ValueTask<(bool, long)> () =>
            {
                bool isAllocated = false;
                long found = 0;
                while (found < length)
                {
                    BlockMapping run = await node.MapAsync(offset + found, length - found).ConfigureAwait(false);
                    if (found > 0 && isAllocated != (run.Kind != BlockMappingKind.Backing))
                    {
                        break;
                    }

                    isAllocated = run.Kind != BlockMappingKind.Backing;
                    found += run.Length;
                }

                return (isAllocated, found);
            });
        }
        catch (BlockIoException e)
        {
            throw new QemuIoException($"is_allocated failed: {Errno.Describe(e.Errno)}");
        }
        finally
        {
            backend.Exit();
        }
    }
}
