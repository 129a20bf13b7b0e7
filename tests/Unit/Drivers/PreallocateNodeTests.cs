using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

public sealed class PreallocateNodeTests : LayerContract
{
    private const BlockPermission Grow = BlockPermission.ConsistentRead | BlockPermission.Write | BlockPermission.Resize;

    private long FileBytes => new FileInfo(File.Name).Length;

    [Test]
    public async Task The_file_grows_in_steps_and_is_cut_back_when_its_user_leaves()
    {
        BlockNode node = await OpenAsync();
        BlockBackend door = Graph.AttachRoot(node, Grow, BlockPermission.All);

        await node.WriteAsync(SizeBytes + 1000, Filled(100, 1));

        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes + 1100));
        Assert.That(FileBytes, Is.EqualTo(SizeBytes + 65536 + 4096), "to the next step beyond what is ahead");
        await node.WriteAsync(SizeBytes + 50_000, Filled(100, 2));
        await node.WriteZeroesAsync(SizeBytes + 60_000, 500);
        Assert.That(FileBytes, Is.EqualTo(SizeBytes + 65536 + 4096));
        byte[] content = await ContentAsync(node);
        Assert.That(HoldsOnly(content.AsSpan(SizeBytes + 1100, 48_900), 0));

        await Graph.Loop.RunAsync(async () => await Graph.Graph.DetachRootAsync(door));

        Assert.That(FileBytes, Is.EqualTo(SizeBytes + 60_500));
        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes + 60_500));
    }

    [Test]
    public async Task Who_may_not_resize_gets_nothing_ahead()
    {
        BlockNode node = await OpenAsync();
        Graph.AttachRoot(node, BlockPermission.Write, BlockPermission.All);

        await node.WriteAsync(SizeBytes + 1000, Filled(100, 1));

        Assert.That(FileBytes, Is.EqualTo(SizeBytes + 1100));
    }

    [Test]
    public async Task Without_room_ahead_the_write_itself_decides()
    {
        BlockNode node = await OpenAsync();
        Graph.AttachRoot(node, Grow, BlockPermission.All);
        Fault.Errno = Errno.ENOSPC;
        Assert.That(async () => await node.WriteAsync(SizeBytes, Filled(100, 1)), Fails(Errno.ENOSPC));
        Fault.Errno = 0;

        await node.WriteAsync(SizeBytes, Filled(100, 1));

        Assert.That(node.SizeBytes, Is.EqualTo(SizeBytes + 100));
    }

    [TestCase("'prealloc-align': 1000", "prealloc-align parameter of preallocate filter is not aligned to 512")]
    [TestCase("'prealloc-size': -1", "Parameter 'prealloc-size' expects a non-negative number below 2^64")]
    public void Odd_steps_are_refused(string options, string text)
    {
        var parsed = BlockdevOptions.Read(QmpInputVisitor.Parse($"{{'driver': 'preallocate', 'file': 'f', {options}}}"), null);

        Assert.That(() => new PreallocateDriver().Create(Settings(), parsed, Graph.Graph), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
    }

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        var node = new PreallocateNode(settings, new BlockdevOptionsPreallocate { File = null!, PreallocSize = 65536, PreallocAlign = 4096 });
        Graph.Attach(node, medium, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        await node.OpenAsync();
        return node;
    }
}
