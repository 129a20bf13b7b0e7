using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Filters;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Drivers;

public sealed class CopyBeforeWriteNodeTests : LayerContract
{
    private const int Unit = 65536;

    private readonly ManualTime _time = new();
    private CopyBeforeWriteOptions _options = new();
    private GatedNode _target = null!;

    [SetUp]
    public void MakeTarget()
    {
        _options = new CopyBeforeWriteOptions { Time = _time };
        _target = new GatedNode("target", SizeBytes);
    }

    [Test]
    public async Task The_snapshot_stays_while_the_disk_changes()
    {
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();

        await node.WriteAsync(1000, Filled(100_000, 2));
        await node.WriteZeroesAsync(5 * Unit, 10);
        await node.DiscardAsync(7 * Unit, Unit);
        await node.WriteAsync(1000, Filled(100_000, 3));

        Assert.That(HoldsOnly(await ContentAsync(snapshot), 1));
        byte[] now = await ContentAsync(node);
        Assert.That(HoldsOnly(now.AsSpan(1000, 100_000), 3));
    }

    [Test]
    [CancelAfter(60_000)]
    public async Task Readers_of_the_snapshot_and_writers_of_the_disk_do_not_disturb_each_other()
    {
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();
        _target.IsAsynchronous = true;
        using var stop = new CancellationTokenSource();
        Task[] writers = [.. Enumerable.Range(0, 2).Select(i => Task.Run(async () =>
        {
            var random = new Random(i);
            while (!stop.IsCancellationRequested)
            {
                await node.WriteAsync(random.Next(SizeBytes - 5000), Filled(random.Next(1, 5000), 9));
            }
        }))];
        var reading = new Random(7);
        for (int i = 0; i < 400; i++)
        {
            byte[] seen = new byte[reading.Next(1, 200_000)];
            await snapshot.ReadAsync(reading.Next(SizeBytes - seen.Length), seen);
            Assert.That(HoldsOnly(seen, 1), $"read {i}");
        }

        await stop.CancelAsync();
        await Task.WhenAll(writers);
        Assert.That(HoldsOnly(await ContentAsync(snapshot), 1));
    }

    [Test]
    public async Task A_write_waits_for_a_reader_of_its_unit()
    {
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();
        Gate gate = _target.HoldWrite(0);
        Task write = node.WriteAsync(0, Filled(10, 2)).AsTask();
        await gate.Reached;

        byte[] seen = new byte[10];
        Task read = snapshot.ReadAsync(0, seen).AsTask();
        Assert.That(read.IsCompleted, Is.False, "whether the copy succeeds is not known yet");
        gate.Open();
        await write;
        await read;

        Assert.That(seen, Is.All.EqualTo(1));
    }

    [Test]
    public async Task Only_what_the_bitmap_marks_is_kept()
    {
        var marks = new NodeBitmaps(SizeBytes);
        DirtyBitmap marked = marks.Add("b", Unit);
        marks.SetDirty(marked, 2 * Unit, Unit);
        _options = _options with { Bitmap = marked };
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();

        await node.WriteAsync(0, Filled(4 * Unit, 2));

        Assert.That(_target.WritesSeen, Is.EqualTo(1));
        byte[] seen = new byte[Unit];
        await snapshot.ReadAsync(2 * Unit, seen);
        Assert.That(HoldsOnly(seen, 1));
        Assert.That(async () => await snapshot.ReadAsync(3 * Unit, seen), Fails(Errno.EACCES));
        Assert.That(async () => await snapshot.ReadAsync((2 * Unit) - 1, new byte[10]), Fails(Errno.EACCES));
    }

    [Test]
    public async Task A_discard_ends_the_keeping_of_whole_units()
    {
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();

        await snapshot.DiscardAsync(Unit - 1, (2 * Unit) + 1);
        await node.WriteAsync(0, Filled(4 * Unit, 2));

        byte[] seen = new byte[Unit];
        await snapshot.ReadAsync(0, seen);
        Assert.That(HoldsOnly(seen, 1));
        Assert.That(async () => await snapshot.ReadAsync(Unit, seen), Fails(Errno.EACCES));
        Assert.That(async () => await snapshot.ReadAsync(2 * Unit, seen), Fails(Errno.EACCES));
        await snapshot.ReadAsync(3 * Unit, seen);
        Assert.That(HoldsOnly(seen, 1));
    }

    [Test]
    public async Task A_failed_copy_fails_the_write_and_both_succeed_later()
    {
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();
        _target.Fail = (isRead, _, _) => isRead ? 0 : Errno.ENOSPC;
        Assert.That(async () => await node.WriteAsync(0, Filled(10, 2)), Fails(Errno.ENOSPC));
        Assert.That(HoldsOnly(await ContentAsync(snapshot), 1));
        _target.Fail = (_, _, _) => 0;

        await node.WriteAsync(0, Filled(10, 2));

        Assert.That(HoldsOnly(await ContentAsync(snapshot), 1));
    }

    [Test]
    public async Task A_failed_copy_breaks_the_snapshot_if_that_is_asked_for()
    {
        _options = _options with { FailsGuestWrites = false };
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();
        _target.Fail = (_, _, _) => Errno.ENOSPC;

        await node.WriteAsync(0, Filled(10, 2));

        _target.Fail = (_, _, _) => 0;
        Assert.That(async () => await snapshot.ReadAsync(5 * Unit, new byte[10]), Fails(Errno.EACCES));
        Assert.That(async () => await node.WriteAsync(0, Filled(10, 3)), Throws.Nothing);
    }

    [Test]
    public async Task A_copy_that_takes_too_long_counts_as_failed()
    {
        _options = _options with { Timeout = TimeSpan.FromSeconds(5) };
        (CopyBeforeWriteNode node, BlockNode snapshot) = await OpenFilledAsync();
        Gate gate = _target.HoldWrite(0);
        Task write = node.WriteAsync(0, Filled(10, 2)).AsTask();
        await gate.Reached;

        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.That(async () => await write, Fails(Errno.ETIMEDOUT));
        Graph.AttachRoot(node, BlockPermission.ConsistentRead, BlockPermission.All);
        Task drain = Graph.Loop.RunAsync(async () => (await Graph.Graph.DrainAsync(node)).Dispose());
        Assert.That(drain.IsCompleted, Is.False, "the late copy is still under way");
        gate.Open();
        await drain;

        await node.WriteAsync(0, Filled(10, 2));
        Assert.That(HoldsOnly(await ContentAsync(snapshot), 1));
    }

    [Test]
    public async Task A_snapshot_of_any_other_node_is_refused()
    {
        BlockNode node = await OpenAsync();
        var snapshot = new SnapshotAccessNode(Settings("s"));
        Graph.Attach(snapshot, Fault, "file", BlockChildRole.Data | BlockChildRole.Primary);
        await snapshot.OpenAsync();

        Assert.That(async () => await snapshot.ReadAsync(0, new byte[1]), Fails(Errno.ENOTSUP));
        Assert.That(async () => await snapshot.WriteAsync(0, new byte[1]), Fails(Errno.ENOTSUP));
        await node.CloseAsync();
    }

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        var node = new CopyBeforeWriteNode(settings, _options);
        Graph.Attach(node, medium, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        Graph.Attach(node, _target, "target", BlockChildRole.Data);
        await node.OpenAsync();
        return node;
    }

    /// <summary>Opens the node on a disk full of ones, and what shows its snapshot.</summary>
    private async ValueTask<(CopyBeforeWriteNode Node, BlockNode Snapshot)> OpenFilledAsync()
    {
        await System.IO.File.WriteAllBytesAsync(File.Name, Filled(SizeBytes, 1));
        BlockNode node = await OpenAsync();
        var snapshot = new SnapshotAccessNode(Settings("s"));
        Graph.Attach(snapshot, node, "file", BlockChildRole.Data | BlockChildRole.Primary);
        await snapshot.OpenAsync();
        return ((CopyBeforeWriteNode)node, snapshot);
    }
}
