using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using NUnit.Framework;
using Unit.Nbd;

namespace Unit.Drivers;

/// <summary>The promises of every driver, by one that shows a moment that has passed and takes no writes.</summary>
public sealed class SnapshotAccessNodeTests : DriverContract
{
    private MemoryNode _disk = null!;
    private MemoryNode _target = null!;

    protected override bool CanResize => false;

    protected override bool TakesWrites => false;

    [Test]
    public async Task What_is_discarded_cannot_be_read_any_more()
    {
        BlockNode node = await OpenAsync();

        await node.DiscardAsync(0, SizeBytes);

        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(Errno.EACCES));
    }

    [Test]
    public async Task An_error_of_the_disk_or_the_target_reaches_the_reader_and_a_later_read_succeeds([Values(Errno.EIO, Errno.ENOSPC)] int errno)
    {
        BlockNode node = await OpenAsync();
        _disk.Errno = errno;
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(errno));
        _disk.Errno = 0;
        await node.Children[0].Node.WriteAsync(0, Filled(512, 9));
        _target.Errno = errno;
        Assert.That(async () => await node.ReadAsync(0, new byte[512]), Fails(errno), "it was copied to the target");
        _target.Errno = 0;

        Assert.That(HoldsOnly(await ContentAsync(node), 0));
    }

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        _disk = new MemoryNode(SizeBytes);
        _target = new MemoryNode(SizeBytes);
        var source = new CopyBeforeWriteNode(Settings("source"), new CopyBeforeWriteOptions { Time = TimeProvider.System });
        Graph.Attach(source, _disk, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        Graph.Attach(source, _target, "target", BlockChildRole.Data);
        await source.OpenAsync();
        var node = new SnapshotAccessNode(settings);
        Graph.Attach(node, source, "file", BlockChildRole.Data | BlockChildRole.Primary);
        await node.OpenAsync();
        return node;
    }
}
