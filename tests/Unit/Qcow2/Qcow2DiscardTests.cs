using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Which discards reach the file below: there a discarded byte becomes 0xDD.</summary>
public sealed class Qcow2DiscardTests
{
    private const int Cluster = 65536;

    [TestCase(null, true)]
    [TestCase(true, true)]
    [TestCase(false, false)]
    public async Task The_guests_discards_go_down_unless_told_not_to(bool? pass, bool reaches)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage, options: new BlockdevOptionsQcow2 { File = null!, PassDiscardRequest = pass });
        await WriteAsync(node, 0, 4);
        await node.DiscardAsync(Cluster, 2 * Cluster);
        await node.WriteZeroesAsync(3 * Cluster, Cluster, BlockWriteFlags.MayUnmap);
        await node.FlushAsync();
        await node.CloseAsync();
        Assert.That(DiscardedClusters(storage), Is.EqualTo(reaches ? 3 : 0));
        Assert.That(ImageChecker.Check(storage.Bytes).Leaks, Is.Zero);
    }

    [Test]
    public async Task What_is_overwritten_is_not_discarded()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage, options: new BlockdevOptionsQcow2 { File = null!, PassDiscardRequest = true });
        byte[] data = new byte[Cluster];
        await node.WriteAsync(0, data, BlockWriteFlags.Compressed);
        await WriteAsync(node, 0, 1);
        await node.FlushAsync();
        await node.CloseAsync();
        Assert.That(DiscardedClusters(storage), Is.Zero);
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_discarded_cluster_keeps_its_place_if_so_asked(bool isExtended)
    {
        var create = new BlockdevCreateOptionsQcow2 { File = null!, Size = 1 << 20, ExtendedL2 = isExtended };
        var storage = new StorageNode(await TestImage.CreateAsync(create));
        Qcow2Node node = await TestImage.OpenAsync(storage, options: new BlockdevOptionsQcow2 { File = null!, DiscardNoUnref = true });
        await WriteAsync(node, 0, 4);
        BlockMapping before = await node.MapAsync(Cluster, Cluster);
        await node.DiscardAsync(Cluster, Cluster);
        Assert.That(DiscardedClusters(storage), Is.EqualTo(1));
        Assert.That((await node.MapAsync(Cluster, Cluster)).Kind, Is.EqualTo(BlockMappingKind.Zero));
        await WriteAsync(node, 1, 1);
        Assert.That(await node.MapAsync(Cluster, Cluster), Is.EqualTo(before));
        await node.CloseAsync();
        ImageChecker check = ImageChecker.Check(storage.Bytes);
        Assert.That((check.Corruptions.Count, check.Leaks), Is.EqualTo((0, 0)));
    }

    [Test]
    public async Task A_version_2_image_keeps_no_discarded_clusters()
    {
        StorageContent content = await TestImage.CreateAsync(1 << 20, version: BlockdevQcow2Version.V2);
        QmpException? refusal = await Assert.ThrowsAsync<QmpException>(
            () => TestImage.OpenAsync(new StorageNode(content), options: new BlockdevOptionsQcow2 { File = null!, DiscardNoUnref = true }));
        Assert.That(refusal!.Message, Is.EqualTo("discard-no-unref is only supported since qcow2 version 3"));
    }

    private static async Task WriteAsync(Qcow2Node node, int first, int clusters)
    {
        byte[] data = new byte[clusters * Cluster];
        Array.Fill(data, (byte)7);
        await node.WriteAsync((long)first * Cluster, data);
    }

    private static int DiscardedClusters(StorageNode storage) =>
        storage.Bytes.Chunk(Cluster).Count(static cluster => cluster.AsSpan().IndexOfAnyExcept((byte)0xDD) < 0);
}
