using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.File;
using NUnit.Framework;
using Unit.Drivers;
using Unit.Nbd;

namespace Unit.Bitmaps;

/// <summary>What a node's bitmaps take for a change: what a guest can see change, and nothing else.</summary>
public sealed class NodeMarkingTests
{
    private const int Unit = 65536;
    private MemoryNode _node = null!;
    private DirtyBitmap _bitmap = null!;

    [SetUp]
    public void MakeNode()
    {
        _node = new MemoryNode(1 << 20);
        _bitmap = _node.Bitmaps.Add("b", Unit);
    }

    private long Dirty => _node.Bitmaps.CountDirtyBytes(_bitmap);

    [Test]
    public async Task Writes_zeroes_and_discards_mark()
    {
        await _node.WriteAsync(0, new byte[512]);
        await _node.WriteZeroesAsync(2 * Unit, Unit);
        await _node.DiscardAsync(4 * Unit, Unit);
        Assert.That(Dirty, Is.EqualTo(3 * Unit));
    }

    [Test]
    public async Task Reads_flushes_and_maps_mark_nothing()
    {
        await _node.ReadAsync(0, new byte[512]);
        await _node.FlushAsync();
        await _node.MapAsync(0, Unit);
        Assert.That(Dirty, Is.Zero);
    }

    [Test]
    public async Task A_write_that_changes_nothing_a_guest_sees_marks_nothing()
    {
        await _node.WriteAsync(0, new byte[512], BlockWriteFlags.Unchanged);
        await _node.WriteZeroesAsync(Unit, Unit, BlockWriteFlags.Unchanged | BlockWriteFlags.MayUnmap);
        Assert.That(Dirty, Is.Zero);
    }

    [Test]
    public void A_failed_write_marks_for_some_of_it_may_have_landed()
    {
        _node.Errno = Errno.EIO;
        Assert.That(async () => await _node.WriteAsync(0, new byte[512]), Throws.TypeOf<BlockIoException>());
        Assert.That(async () => await _node.WriteZeroesAsync(Unit, Unit), Throws.TypeOf<BlockIoException>());
        Assert.That(Dirty, Is.EqualTo(2 * Unit));
    }

    [Test]
    public async Task A_write_marks_when_it_ends_and_before_it_is_acknowledged()
    {
        _node.CloseGate();
        var write = _node.WriteAsync(0, new byte[512]).AsTask();
        Assert.That(Dirty, Is.Zero);
        _node.OpenGate();
        await write;
        Assert.That(Dirty, Is.EqualTo(Unit));
    }

    [Test]
    public async Task A_refused_discard_marks_nothing()
    {
        var node = new Storage.MemoryNode("n", 1 << 20);
        DirtyBitmap bitmap = node.Bitmaps.Add("b", Unit);
        await node.DiscardAsync(0, Unit);
        Assert.That(node.Bitmaps.CountDirtyBytes(bitmap), Is.Zero);
    }

    [Test]
    public void A_write_inside_what_another_one_has_just_added_to_the_disk_is_marked()
    {
        using var file = new TemporaryFile(0);
        var node = new FileNode(new BlockNodeSettings { NodeName = "f" }, file.Name);
        Run(node.OpenAsync());
        DirtyBitmap watched = node.Bitmaps.Add("watched", Unit);
        DirtyBitmap walked = node.Bitmaps.AddAnonymous(Unit);
        Run(node.WriteAsync(0, new byte[1]));
        var writers = new List<HeldThread>();
        node.Bitmaps.TellRuns(walked, 0, 1, (_, _) =>
        {
            // The bitmaps cannot change now, so the first writer stops where it has them follow the new size.
            writers.Add(new HeldThread(() => Run(node.WriteAsync(9 * Unit, new byte[1]))));
            writers.Add(new HeldThread(() => Run(node.WriteAsync(5 * Unit, new byte[1]))));
            return true;
        });
        writers.ForEach(writer => writer.Join());
        Assert.That(
            node.Bitmaps.DirtyRanges(watched, 0, 10, out _),
            Is.EqualTo(new[] { (0L, (long)Unit), (5L * Unit, Unit), (9L * Unit, 1) }));
        Run(node.CloseAsync());
    }

    private static void Run(ValueTask task) => task.AsTask().GetAwaiter().GetResult();
}
