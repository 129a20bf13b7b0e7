using Monitor.Qapi;

namespace Monitor.Block.Drivers.File;

/// <summary>Makes <see cref="FileNode"/>s. The <c>aio</c> engines, <c>aio-max-batch</c> and <c>drop-cache</c> are taken and change nothing: transfers are our own.</summary>
internal sealed class FileDriver : IBlockDriver
{
    public IReadOnlyList<BlockChildSpec> Children(BlockdevOptions options) => [];

    public void CheckReopen(BlockdevOptions before, BlockdevOptions after)
    {
        (var old, var asked) = ((BlockdevOptionsFile)before.Branch!, (BlockdevOptionsFile)after.Branch!);
        FixedOption.Check("filename", old.Filename, asked.Filename);
        FixedOption.Check("aio", old.Aio, asked.Aio);
        FixedOption.Check("aio-max-batch", old.AioMaxBatch, asked.AioMaxBatch);
        FixedOption.Check("locking", old.Locking, asked.Locking);
        FixedOption.Check("drop-cache", old.DropCache, asked.DropCache);
    }

    public BlockNode Create(BlockNodeSettings settings, BlockdevOptions options, BlockGraph graph)
    {
        var file = (BlockdevOptionsFile)options.Branch!;
        if (file.Filename.Length == 0)
        {
            throw new QmpException($"The '{options.Driver.ToWire()}' block driver requires a file name");
        }

        if (file.Aio == BlockdevAioOptions.Native && !settings.CacheDirect)
        {
            throw new QmpException("aio=native was specified, but it requires cache.direct=on, which was not specified.");
        }

        return new FileNode(settings, file.Filename, file.Locking != OnOffAuto.Off, options.Driver == BlockdevDriver.HostDevice);
    }
}
