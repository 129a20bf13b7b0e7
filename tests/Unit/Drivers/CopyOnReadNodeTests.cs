using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Drivers;

[TestFixture(4096, false, false)]
[TestFixture(16384, true, false)]
[TestFixture(4096, false, true)]
[TestFixture(16384, true, true)]
public sealed class CopyOnReadNodeTests(int clusterBytes, bool extended, bool isOfDrive) : LayerContract
{
    private GatedNode _base = null!;
    private BlockNode _image = null!;
    private bool _withBottom;

    protected override int MediumBytes => 0;

    [SetUp]
    public void MakeBase()
    {
        _base = new GatedNode("base", SizeBytes);
        _withBottom = false;
    }

    [Test]
    public async Task What_was_read_is_in_the_image_afterwards_and_no_bitmap_knows()
    {
        _base.Fill(new Random(1));
        BlockNode node = await OpenAsync();
        _image.Bitmaps.Add("b", 4096, persistent: false);
        node.Bitmaps.Add("c", 4096, persistent: false);
        byte[] seen = new byte[clusterBytes + 1000];

        await node.ReadAsync(3000, seen);

        Assert.That(seen.AsSpan().SequenceEqual(_base.Bytes.AsSpan(3000, clusterBytes + 1000)));
        Assert.That((await _image.MapAsync(0, SizeBytes)).Kind, Is.EqualTo(BlockMappingKind.Data));
        Assert.That((await _image.MapAsync(2 * clusterBytes, SizeBytes - (2 * clusterBytes))).Kind, Is.EqualTo(BlockMappingKind.Backing), "whole clusters only");
        Assert.That(_image.Bitmaps.List().Concat(node.Bitmaps.List()).Sum(bitmap => bitmap.CountBytes), Is.Zero);
        _base.Fail = (_, _, _) => Errno.EIO;
        await node.ReadAsync(0, new byte[2 * clusterBytes]);
    }

    [Test]
    public async Task Zeroes_are_copied_up_as_zeroes()
    {
        BlockNode node = await OpenAsync();

        await node.ReadAsync(0, new byte[SizeBytes]);

        Assert.That(await _image.MapAsync(0, SizeBytes), Is.EqualTo(new BlockMapping(BlockMappingKind.Zero, SizeBytes)));
    }

    [Test]
    public async Task A_write_that_comes_between_reading_and_copying_up_stays()
    {
        _base.Fill(new Random(1));
        BlockNode node = await OpenAsync();
        Gate gate = _base.HoldRead(0);
        Task read = node.ReadAsync(0, new byte[100]).AsTask();
        await gate.Reached;

        // Not through the filter: another user of the image.
        await _image.WriteAsync(0, Filled(clusterBytes, 7));
        gate.Open();
        await read;

        byte[] seen = new byte[clusterBytes];
        await node.ReadAsync(0, seen);
        Assert.That(HoldsOnly(seen, 7));
    }

    [Test]
    [CancelAfter(60_000)]
    public async Task Readers_and_writers_at_once_give_what_was_written_or_the_base()
    {
        _base.Fill(new Random(1));
        _base.IsAsynchronous = true;
        BlockNode node = await OpenAsync();
        byte[] twin = _base.Snapshot();
        Task[] guests = [.. Enumerable.Range(0, 4).Select(i => Task.Run(async () =>
        {
            var random = new Random(i);
            for (int n = 0; n < 150; n++)
            {
                // Each has its own hundred bytes of every five hundred: all share the clusters.
                int offset = (random.Next(2000) * 500) + (i * 100);
                random.NextBytes(twin.AsSpan(offset, 100));
                await node.WriteAsync(offset, twin.AsMemory(offset, 100));
                byte[] seen = new byte[100];
                await node.ReadAsync(offset, seen);
                Assert.That(seen.AsSpan().SequenceEqual(twin.AsSpan(offset, 100)));
                await node.ReadAsync(random.Next(SizeBytes - 9000), new byte[9000]);
            }
        }))];
        await Task.WhenAll(guests);

        Assert.That((await ContentAsync(node)).AsSpan().SequenceEqual(twin));
        Assert.That((await _image.MapAsync(0, SizeBytes)).Kind, Is.Not.EqualTo(BlockMappingKind.Backing));
    }

    [Test]
    public async Task With_the_image_itself_as_bottom_nothing_is_copied_and_the_link_is_frozen()
    {
        Assume.That(isOfDrive, Is.False, "a drive copies from the whole chain");
        _base.Fill(new Random(1));
        _withBottom = true;
        BlockNode node = await OpenAsync();

        await node.ReadAsync(0, new byte[clusterBytes]);

        Assert.That((await _image.MapAsync(0, clusterBytes)).Kind, Is.EqualTo(BlockMappingKind.Backing));
        Assert.That(node.Children[0].IsFrozen);
        Assert.That(_image.Backing!.IsFrozen, Is.False);
        Graph.Turn(() => Assert.That(() => Graph.Graph.MoveParents(_image, _base), Throws.TypeOf<QmpException>().With.Message.EqualTo("Cannot change 'file' link to 'image'")));
    }

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        _image = new Qcow2Node(isOfDrive ? settings : Settings("image"), null, Graph);
        Graph.Attach(_image, medium, "file", BlockChildRole.Image);
        await Qcow2Image.CreateAsync(medium, new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = SizeBytes,
            ClusterSize = (ulong)clusterBytes,
            ExtendedL2 = extended,
        });
        await _image.OpenAsync();
        Graph.Attach(_image, _base, "backing", BlockChildRole.CopyOnWrite);
        if (isOfDrive)
        {
            _image.AdoptDriveOptions(settings.DetectZeroes, copiesOnRead: true);
            return _image;
        }

        var node = new CopyOnReadNode(settings, _withBottom ? () => _image : null);
        Graph.Attach(node, _image, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        Graph.Turn(() => node.OnAttached());
        await node.OpenAsync();
        return node;
    }
}
