using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>How much of the tables is kept in memory.</summary>
public sealed class Qcow2CacheTests
{
    private const int Cluster = 512;
    private const int TableCovers = Cluster * Cluster / 8;
    private const int Tables = 64;

    [Test]
    public async Task What_nobody_asked_for_during_an_interval_is_dropped()
    {
        var time = new RingingTime();
        Qcow2Node node = await OpenAsync(new BlockdevOptionsQcow2 { File = null!, CacheCleanInterval = 30 }, time);
        Assert.That(time.Period, Is.EqualTo(TimeSpan.FromSeconds(30)));
        await ReadAllTablesAsync(node);
        long full = node.CachedBytes;
        time.Ring();
        Assert.That(node.CachedBytes, Is.EqualTo(full));
        await node.ReadAsync(0, new byte[Cluster]);
        time.Ring();
        Assert.That(node.CachedBytes, Is.EqualTo(Cluster));
        time.Ring();
        Assert.That(node.CachedBytes, Is.Zero);
        await ReadAllTablesAsync(node);
        await node.CloseAsync();
        Assert.That(time.IsStopped, Is.True);
    }

    [Test]
    public async Task What_differs_from_the_image_is_not_dropped()
    {
        var time = new RingingTime();
        Qcow2Node node = await OpenAsync(null, time);
        Assert.That(time.Period, Is.EqualTo(TimeSpan.FromMinutes(10)));
        await node.WriteAsync(3 * Cluster, new byte[] { 1 });
        time.Ring();
        time.Ring();
        Assert.That(node.CachedBytes, Is.GreaterThanOrEqualTo(2 * Cluster));
        await node.FlushAsync();
        time.Ring();
        time.Ring();
        Assert.That(node.CachedBytes, Is.Zero);
        byte[] read = new byte[1];
        await node.ReadAsync(3 * Cluster, read);
        Assert.That(read[0], Is.EqualTo(1));
        await node.CloseAsync();
    }

    [Test]
    public async Task The_size_of_the_cache_is_kept_to_and_may_change()
    {
        var options = new BlockdevOptionsQcow2 { File = null!, L2CacheSize = 8 * Cluster, CacheCleanInterval = 0 };
        var time = new RingingTime();
        Qcow2Node node = await OpenAsync(options, time);
        Assert.That(time.Period, Is.EqualTo(Timeout.InfiniteTimeSpan));
        await ReadAllTablesAsync(node);
        Assert.That(node.CachedBytes, Is.EqualTo(8 * Cluster));
        node.Reconfigure(Options(new BlockdevOptionsQcow2 { File = null!, L2CacheSize = 3 * Cluster, CacheCleanInterval = 1 }));
        Assert.That(time.Period, Is.EqualTo(TimeSpan.FromSeconds(1)));
        await ReadAllTablesAsync(node);
        Assert.That(node.CachedBytes, Is.EqualTo(3 * Cluster));
        Assert.That(
            Assert.Throws<QmpException>(() => node.Reconfigure(Options(new BlockdevOptionsQcow2 { File = null!, CacheCleanInterval = 1L << 33 })))!.Message,
            Is.EqualTo("Cache clean interval too big"));
        await node.CloseAsync();
    }

    private static BlockdevOptions Options(BlockdevOptionsQcow2 options) => new() { Driver = BlockdevDriver.Qcow2, Branch = options };

    private static async Task<Qcow2Node> OpenAsync(BlockdevOptionsQcow2? options, RingingTime time)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(Tables * TableCovers, Cluster));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        for (int i = 0; i < Tables; i++)
        {
            await node.WriteAsync((i * TableCovers) + 7, new byte[] { 2 });
        }

        await node.CloseAsync();
        return await TestImage.OpenAsync(storage, options: options, time: time);
    }

    private static async Task ReadAllTablesAsync(Qcow2Node node)
    {
        for (int i = 0; i < Tables; i++)
        {
            await node.ReadAsync(i * TableCovers, new byte[8]);
        }
    }

    /// <summary>One timer, which rings when told.</summary>
    private sealed class RingingTime : TimeProvider, ITimer
    {
        private Action _ring = () => { };

        public TimeSpan Period { get; private set; }

        public bool IsStopped { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _ring = () => callback(state);
            return this;
        }

        public void Ring() => _ring();

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Period = period;
            return true;
        }

        public void Dispose() => IsStopped = true;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
