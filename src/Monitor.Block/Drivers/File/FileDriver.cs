using Monitor.Qapi;

namespace Monitor.Block.Drivers.File;

/// <summary>Makes <see cref="FileNode"/>s. The <c>aio</c> engines, <c>aio-max-batch</c> and <c>drop-cache</c> are taken and change nothing: transfers are our own.</summary>
internal sealed class FileDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [];

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
        FixedOption.Check("filename", before.File.Filename, after.File.Filename);
        FixedOption.Check("aio", before.File.Aio, after.File.Aio);
        FixedOption.Check("aio-max-batch", before.File.AioMaxBatch, after.File.AioMaxBatch);
        FixedOption.Check("locking", before.File.Locking, after.File.Locking);
        FixedOption.Check("drop-cache", before.File.DropCache, after.File.DropCache);
    }

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        BlockdevOptionsFile file = options.File;
        if (file.Filename.Length == 0)
        {
            throw new QmpException("The 'file' block driver requires a file name");
        }

        if (file.Aio == BlockdevAioOptions.Native && !settings.CacheDirect)
        {
            throw new QmpException("aio=native was specified, but it requires cache.direct=on, which was not specified.");
        }

        return new FileNode(settings, file.Filename, file.Locking != OnOffAuto.Off);
    }
}
