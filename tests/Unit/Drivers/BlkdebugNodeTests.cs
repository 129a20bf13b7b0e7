using Monitor.Block;
using Monitor.Block.Drivers.Blkdebug;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class BlkdebugNodeTests : LayerContract
{
    [Test]
    public async Task A_rule_for_none_holds_from_the_start_for_every_request_that_changes_or_reads()
    {
        BlockNode node = await OpenAsync("'inject-error': [{'event': 'none', 'errno': 28}]");

        Assert.Multiple(() =>
        {
            Assert.That(async () => await node.ReadAsync(0, new byte[1]), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.WriteAsync(0, new byte[1]), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.WriteZeroesAsync(0, 1), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.DiscardAsync(0, 1), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.FlushAsync(), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.MapAsync(0, 1), Throws.Nothing);
        });
    }

    [Test]
    public async Task Without_a_number_the_error_is_that_of_the_medium()
    {
        BlockNode node = await OpenAsync("'inject-error': [{'event': 'none', 'immediately': true}]");

        Assert.That(async () => await node.FlushAsync(), Fails(Errno.EIO));
    }

    [Test]
    public async Task A_rule_for_a_kind_and_a_sector_meets_only_those()
    {
        BlockNode node = await OpenAsync("'inject-error': [{'event': 'none', 'iotype': 'write', 'sector': 2}]");

        Assert.Multiple(() =>
        {
            Assert.That(async () => await node.ReadAsync(0, new byte[4096]), Throws.Nothing);
            Assert.That(async () => await node.WriteAsync(0, new byte[1024]), Throws.Nothing);
            Assert.That(async () => await node.WriteAsync(1025, new byte[512]), Throws.Nothing);
            Assert.That(async () => await node.WriteAsync(0, new byte[1025]), Fails(Errno.EIO));
        });
    }

    [Test]
    public async Task A_rule_for_once_is_spent_by_the_first_request()
    {
        BlockNode node = await OpenAsync("'inject-error': [{'event': 'none', 'once': true}]");

        Assert.That(async () => await node.FlushAsync(), Fails(Errno.EIO));
        Assert.That(async () => await node.FlushAsync(), Throws.Nothing);
    }

    [Test]
    public async Task A_rule_waits_for_its_event_and_state()
    {
        BlockNode node = await OpenAsync(
            "'inject-error': [{'event': 'write_aio', 'state': 2, 'iotype': 'write'}], " +
            "'set-state': [{'event': 'l2_update', 'state': 1, 'new_state': 2}]");

        node.DebugEvent(BlkdebugEvent.WriteAio);
        Assert.That(async () => await node.WriteAsync(0, new byte[1]), Throws.Nothing);

        node.DebugEvent(BlkdebugEvent.L2Update);
        Assert.That(async () => await node.WriteAsync(0, new byte[1]), Throws.Nothing);

        node.DebugEvent(BlkdebugEvent.WriteAio);
        Assert.That(async () => await node.WriteAsync(0, new byte[1]), Fails(Errno.EIO));
    }

    [Test]
    public async Task A_failed_write_does_not_reach_the_node_below()
    {
        BlockNode node = await OpenAsync("'inject-error': [{'event': 'pwritev', 'once': true}]");

        Assert.That(async () => await node.WriteAsync(0, Filled(512, 1)), Fails(Errno.EIO));

        Assert.That(HoldsOnly(await System.IO.File.ReadAllBytesAsync(File.Name), 0));
    }

    protected override ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium) => OpenOverAsync(settings, medium, "'align': 512");

    private ValueTask<BlockNode> OpenAsync(string options) => OpenAsync(medium => OpenOverAsync(Settings(), medium, options));

    private async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium, string options)
    {
        var parsed = BlockdevOptions.Read(QmpInputVisitor.Parse($"{{'driver': 'blkdebug', 'image': 'f', {options}}}"), null);
        var node = new BlkdebugNode(settings, parsed.Blkdebug);
        Graph.Attach(node, medium, "image", BlockChildRole.Filtered | BlockChildRole.Primary);
        await node.OpenAsync();
        return node;
    }
}
