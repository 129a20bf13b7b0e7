using Monitor.Block;
using Monitor.Block.Drivers.File;
using NUnit.Framework;

namespace Unit.Drivers;

/// <summary>A file without the page cache must behave as one with it, whatever the alignment of requests.</summary>
public sealed class DirectFileNodeTests : DriverContract
{
    private TemporaryFile _file = null!;

    [SetUp]
    public void MakeFile() => _file = new TemporaryFile(SizeBytes);

    [TearDown]
    public void RemoveFile() => _file.Dispose();

    [Test]
    public async Task An_unaligned_write_past_the_end_does_not_grow_the_file_to_a_whole_block()
    {
        BlockNode node = await OpenAsync();

        await node.WriteAsync(SizeBytes - 3, Filled(10, 9));

        byte[] content = new byte[20];
        await node.ReadAsync(SizeBytes - 3, content);
        await node.CloseAsync();
        Assert.Multiple(() =>
        {
            Assert.That(new FileInfo(_file.Name).Length, Is.EqualTo(SizeBytes + 7));
            Assert.That(content[..10], Is.All.EqualTo(9));
            Assert.That(content[10..], Is.All.Zero);
        });
    }

    [Test]
    public async Task Unaligned_writes_side_by_side_do_not_undo_each_other()
    {
        BlockNode node = await OpenAsync();
        byte[] expected = new byte[64 * 100];
        Task[] writes = [.. Enumerable.Range(0, 64).Select(i =>
        {
            byte[] piece = Filled(100, (byte)(i + 1));
            piece.CopyTo(expected, i * 100);
            return node.WriteAsync(i * 100, piece).AsTask();
        })];
        await Task.WhenAll(writes);

        byte[] content = new byte[expected.Length];
        await node.ReadAsync(0, content);

        Assert.That(content, Is.EqualTo(expected));
        await node.CloseAsync();
    }

    protected override async ValueTask<BlockNode> OpenAsync(BlockNodeSettings settings)
    {
        var node = new FileNode(settings with { CacheDirect = true }, _file.Name);
        await node.OpenAsync();
        return node;
    }
}
