using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class CompressNodeTests : LayerContract
{
    private const int Cluster = 65536;

    private BlockNode _image = null!;

    protected override int MediumBytes => 0;

    [Test]
    public async Task Whole_new_clusters_are_stored_compressed_and_the_rest_plainly()
    {
        BlockNode node = await OpenAsync();

        await node.WriteAsync(1000, Filled(4 * Cluster, 5));
        await node.WriteAsync(2 * Cluster, Filled(100, 6));

        Assert.That((await _image.MapAsync(0, Cluster)).Kind, Is.EqualTo(BlockMappingKind.Data));
        Assert.That((await _image.MapAsync(Cluster, Cluster)).Kind, Is.EqualTo(BlockMappingKind.Compressed));
        Assert.That((await _image.MapAsync(2 * Cluster, Cluster)).Kind, Is.EqualTo(BlockMappingKind.Data));
        Assert.That((await _image.MapAsync(3 * Cluster, Cluster)).Kind, Is.EqualTo(BlockMappingKind.Compressed));
        byte[] content = await ContentAsync(node);
        Assert.That(HoldsOnly(content.AsSpan(2 * Cluster, 100), 6));
        Assert.That(HoldsOnly(content.AsSpan((2 * Cluster) + 100, Cluster), 5));
    }

    [Test]
    public async Task A_format_that_cannot_compress_is_refused() =>
        Assert.That(
            async () => await OpenAsync(async medium =>
            {
                var node = new CompressNode(Settings());
                Graph.Attach(node, medium, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
                await node.OpenAsync();
                return node;
            }),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Compression is not supported for underlying format: fault"));

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        _image = new Qcow2Node(Settings("image"), null, Graph);
        Graph.Attach(_image, medium, "file", BlockChildRole.Image);
        await Qcow2Image.CreateAsync(medium, new BlockdevCreateOptionsQcow2 { File = null!, Size = SizeBytes, ClusterSize = Cluster });
        await _image.OpenAsync();
        var node = new CompressNode(settings);
        Graph.Attach(node, _image, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        await node.OpenAsync();
        return node;
    }
}
