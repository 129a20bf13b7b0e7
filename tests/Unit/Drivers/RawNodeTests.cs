using Monitor.Block;
using Monitor.Block.Drivers.Raw;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class RawNodeTests : LayerContract
{
    private const int Offset = 12_345;

    protected override int MediumBytes => Offset + SizeBytes + 512;

    protected override bool CanResize => false;

    [Test]
    public async Task A_window_keeps_to_itself()
    {
        BlockNode node = await OpenAsync();

        await node.WriteAsync(0, Filled(SizeBytes, 0xaa));

        byte[] content = await System.IO.File.ReadAllBytesAsync(File.Name);
        Assert.Multiple(() =>
        {
            Assert.That(content[..Offset], Is.All.Zero);
            Assert.That(content[Offset..(Offset + SizeBytes)], Is.All.EqualTo(0xaa));
            Assert.That(content[(Offset + SizeBytes)..], Is.All.Zero);
        });
    }

    [Test]
    public async Task Beyond_a_window_writes_find_no_space_and_reads_are_invalid()
    {
        BlockNode node = await OpenAsync();

        Assert.Multiple(() =>
        {
            Assert.That(async () => await node.WriteAsync(SizeBytes - 1, new byte[2]), Fails(Errno.ENOSPC));
            Assert.That(async () => await node.ReadAsync(SizeBytes - 1, new byte[2]), Fails(Errno.EINVAL));
        });
    }

    [Test]
    public async Task Without_a_size_the_node_grows_with_its_file()
    {
        BlockNode node = await OpenAsync(0, null);

        await node.WriteAsync(node.SizeBytes, new byte[100]);

        Assert.That(node.SizeBytes, Is.EqualTo(Offset + SizeBytes + 612));
    }

    [TestCase(2_000_000, null, "Offset (2000000) cannot be greater than size of the containing file (1061888)")]
    [TestCase(13_312, (1L << 20) + 512, "The sum of offset (13312) and size (1049088) has to be smaller or equal to the  actual size of the containing file (1061888)")]
    [TestCase(0, 1000L, "Specified size is not multiple of 512")]
    public void A_window_that_does_not_fit_is_refused(long offset, long? size, string text) =>
        Assert.That(async () => await OpenAsync(offset, size), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));

    protected override ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium) => OpenOverAsync(settings, medium, Offset, SizeBytes);

    private ValueTask<BlockNode> OpenAsync(long offset, long? size) => OpenAsync(medium => OpenOverAsync(Settings(), medium, offset, size));

    private async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium, long offset, long? size)
    {
        var raw = new RawNode(settings, offset, size);
        Graph.Attach(raw, medium, "file", RawNode.ChildRole(offset, size));
        await raw.OpenAsync();
        return raw;
    }
}
