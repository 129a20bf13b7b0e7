using Monitor.Block;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Jobs;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

public sealed class BlockStatisticsTests
{
    private const int SizeBytes = 1 << 20;

    private readonly RecordedEvents _events = new();
    private MonitorLoop _loop = null!;
    private GatedNode _node = null!;
    private BlockBackend _door = null!;

    [SetUp]
    public void MakeNode()
    {
        _loop = new MonitorLoop();
        _node = new GatedNode("n", SizeBytes);
        _door = new BlockBackend();
        var graph = new BlockGraph(_loop, _events);
        _loop.Run(_ => graph.AttachRoot(_door, _node, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All), 0);
    }

    [TearDown]
    public void EndLoop() => _loop.Dispose();

    [Test]
    public async Task Requests_and_bytes_are_counted_by_kind()
    {
        await _door.WriteAsync(0, new byte[3000]);
        await _door.WriteZeroesAsync(4096, 5000);
        await _door.ReadAsync(0, new byte[700]);
        await _door.FlushAsync();
        await _door.DiscardAsync(8192, 4096);

        BlockStatistics counted = _node.Statistics;
        Assert.Multiple(() =>
        {
            Assert.That(counted.Bytes(BlockRequestKind.Write), Is.EqualTo(8000));
            Assert.That(counted.Operations(BlockRequestKind.Write), Is.EqualTo(2));
            Assert.That(counted.Bytes(BlockRequestKind.Read), Is.EqualTo(700));
            Assert.That(counted.Operations(BlockRequestKind.Read), Is.EqualTo(1));
            Assert.That(counted.Operations(BlockRequestKind.Flush), Is.EqualTo(1));
            Assert.That(counted.Bytes(BlockRequestKind.Unmap), Is.EqualTo(4096));
            Assert.That(counted.IdleNanoseconds, Is.Not.Null);
            Assert.That(_node.HighestWriteEnd, Is.EqualTo(9096));
        });
    }

    [Test]
    public async Task A_refused_request_counts_as_invalid_and_nothing_else()
    {
        await Assert.ThrowsAsync<BlockIoException>(async () => await _door.ReadAsync(SizeBytes, new byte[1]));
        await Assert.ThrowsAsync<BlockIoException>(async () => await _door.WriteAsync(-1, new byte[1]));
        Assert.Multiple(() =>
        {
            Assert.That(_node.Statistics.Invalid(BlockRequestKind.Read), Is.EqualTo(1));
            Assert.That(_node.Statistics.Invalid(BlockRequestKind.Write), Is.EqualTo(1));
            Assert.That(_node.Statistics.Failed(BlockRequestKind.Read), Is.Zero);
            Assert.That(_node.Statistics.Operations(BlockRequestKind.Write), Is.Zero);
            Assert.That(_door.InFlight, Is.Zero);
        });
    }

    [Test]
    public async Task Nothing_is_missed_with_many_threads()
    {
        const int Threads = 8;
        const int Requests = 2000;
        byte[] bytes = new byte[100];
        await Task.WhenAll(Enumerable.Range(0, Threads).Select(_ => Task.Run(async () =>
        {
            for (int i = 0; i < Requests; i++)
            {
                await _door.WriteAsync(i * 100, bytes);
            }
        })));

        Assert.That(_node.Statistics.Operations(BlockRequestKind.Write), Is.EqualTo(Threads * Requests));
        Assert.That(_node.Statistics.Bytes(BlockRequestKind.Write), Is.EqualTo(Threads * Requests * 100));
        Assert.That(_node.HighestWriteEnd, Is.EqualTo(Requests * 100));
    }

    [Test]
    public async Task A_write_past_the_threshold_is_announced_once()
    {
        _node.WriteThreshold = new WriteThreshold("n", 1000, _events);
        await _door.WriteAsync(0, new byte[1000]);
        Assert.That(_events.Short(), Is.Empty);
        Assert.That(_node.WriteThreshold?.Offset, Is.EqualTo(1000));

        await _door.WriteAsync(500, new byte[501]);
        await _door.WriteAsync(5000, new byte[1]);

        Assert.That(_events.Short(), Is.EqualTo(new[] { "BLOCK_WRITE_THRESHOLD" }));
        Assert.That(_node.WriteThreshold, Is.Null);
    }
}
