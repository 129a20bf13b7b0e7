using Monitor.Block;
using Monitor.Block.Drivers.Blkverify;
using NUnit.Framework;
using Unit.Nbd;

namespace Unit.Drivers;

/// <summary>An image under test beside one that is right.</summary>
public sealed class BlkverifyNodeTests : DriverContract
{
    private MemoryNode _right = null!;
    private MemoryNode _tested = null!;

    protected override bool CanResize => false;

    [Test]
    public async Task Content_that_differs_fails_the_read()
    {
        BlockNode node = await OpenAsync();
        await node.WriteAsync(0, Filled(1024, 1));
        _tested.Bytes[1000] = 2;

        Assert.That(async () => await node.ReadAsync(512, new byte[512]), Fails(Errno.EIO));
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Throws.Nothing);
    }

    [Test]
    public async Task An_error_that_both_have_reaches_the_caller_and_the_same_request_succeeds_later()
    {
        BlockNode node = await OpenAsync();
        (_right.Errno, _tested.Errno) = (Errno.ENOSPC, Errno.ENOSPC);
        Assert.That(async () => await node.WriteAsync(0, Filled(512, 1)), Fails(Errno.ENOSPC));
        (_right.Errno, _tested.Errno) = (0, 0);

        await node.WriteAsync(0, Filled(512, 1));

        Assert.That(HoldsOnly((await ContentAsync(node)).AsSpan(0, 512), 1));
    }

    [Test]
    public async Task An_error_that_only_one_has_is_a_difference()
    {
        BlockNode node = await OpenAsync();
        _tested.Errno = Errno.ENOSPC;

        Assert.That(async () => await node.WriteAsync(0, Filled(512, 1)), Fails(Errno.EIO));
        Assert.That(async () => await node.FlushAsync(), Fails(Errno.ENOSPC), "only the image under test is flushed");
    }

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        _right = new MemoryNode(SizeBytes);
        _tested = new MemoryNode(SizeBytes);
        var node = new BlkverifyNode(settings);
        Graph.Attach(node, _right, "raw", BlockChildRole.Filtered | BlockChildRole.Primary);
        Graph.Attach(node, _tested, "test", BlockChildRole.Data);
        await node.OpenAsync();
        return node;
    }
}
