using Monitor.Block;
using Monitor.Block.Drivers.File;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>What every driver promises that stands on another node: its medium is a file behind a <see cref="FaultNode"/>.</summary>
public abstract class LayerContract : DriverContract
{
    /// <summary>The file's length before the driver comes.</summary>
    protected virtual int MediumBytes => SizeBytes;

    protected TemporaryFile File { get; private set; } = null!;

    protected FaultNode Fault { get; private set; } = null!;

    private BlockNodeSettings MediumSettings { get; set; } = null!;

    [SetUp]
    public void MakeMedium()
    {
        File = new TemporaryFile(MediumBytes);
        MediumSettings = Settings("file");
    }

    [TearDown]
    public void RemoveMedium() => File.Dispose();

    [Test]
    public async Task An_error_below_reaches_the_caller_and_the_same_request_succeeds_later([Values(Errno.EIO, Errno.ENOSPC)] int errno)
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, Filled(8192, 1));

        Fault.Errno = errno;
        Assert.Multiple(() =>
        {
            Assert.That(async () => await node.WriteAsync(4096, Filled(300_000, 2)), Fails(errno));
            Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(errno));
        });
        Fault.Errno = 0;
        await node.WriteAsync(4096, Filled(300_000, 2));

        byte[] content = await ContentAsync(node);
        Assert.Multiple(() =>
        {
            Assert.That(HoldsOnly(content.AsSpan(0, 4096), 1));
            Assert.That(HoldsOnly(content.AsSpan(4096, 300_000), 2));
            Assert.That(HoldsOnly(content.AsSpan(304_096), 0));
        });
        await node.CloseAsync();
    }

    [Test]
    public async Task A_flush_reaches_the_medium_and_its_failure_the_caller()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, Filled(8192, 1));
        int before = Fault.Flushes;
        await node.FlushAsync();
        Assert.That(Fault.Flushes, Is.GreaterThan(before));

        await node.WriteAsync(100_000, Filled(8192, 1));
        Fault.Errno = Errno.ENOSPC;
        Assert.That(async () => await node.FlushAsync(), Fails(Errno.ENOSPC));
        Fault.Errno = 0;
        await node.CloseAsync();
    }

    [Test]
    public async Task Requests_of_any_alignment_pass_to_a_medium_without_page_cache()
    {
        MediumSettings = MediumSettings with { CacheDirect = true };
        BlockNode node = await OpenAsync();
        byte[] twin = new byte[SizeBytes];
        var random = new Random(3);
        for (int i = 0; i < 60; i++)
        {
            int length = random.Next(1, 40_000);
            int offset = random.Next(SizeBytes - length);
            random.NextBytes(twin.AsSpan(offset, length));
            await node.WriteAsync(offset, twin.AsMemory(offset, length));
        }

        Assert.That((await ContentAsync(node)).AsSpan().SequenceEqual(twin));
        await node.CloseAsync();
    }

    [Test]
    public async Task A_write_that_failed_below_is_marked_too()
    {
        BlockNode node = await OpenAsync();
        node.Bitmaps.Add("b", 65536, persistent: false);
        Fault.Errno = Errno.EIO;

        Assert.That(async () => await node.WriteAsync(0, Filled(1000, 1)), Fails(Errno.EIO));

        Assert.That(node.Bitmaps.List()[0].CountBytes, Is.EqualTo(65536));
        Fault.Errno = 0;
        await node.CloseAsync();
    }

    /// <summary>Opens the node under test on its medium, which holds <see cref="MediumBytes"/> zero bytes.</summary>
    protected abstract ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium);

    protected override ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings) => OpenAsync(medium => OpenOverAsync(settings, medium));

    /// <summary>Opens the medium, and on it what <paramref name="open"/> opens.</summary>
    protected async ValueTask<BlockNode> OpenAsync(Func<BlockNode, ValueTask<BlockNode>> open)
    {
        var file = new FileNode(MediumSettings, File.Name);
        await file.OpenAsync();
        Fault = new FaultNode();
        Graph.Attach(Fault, file, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        await Fault.OpenAsync();
        return await open(Fault);
    }
}
