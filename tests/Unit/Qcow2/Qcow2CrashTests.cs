using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>The power fails at every write and flush of a scripted run, dropping or tearing what was not flushed.</summary>
public sealed class Qcow2CrashTests
{
    private const int Requests = 60;

    [TestCase(1, 512, 16)]
    [TestCase(2, 512, 64)]
    [TestCase(3, 1024, 1)]
    [TestCase(4, 4096, 16)]
    [TestCase(5, 512, 2)]
    [TestCase(6, 65536, 16)]
    public async Task After_a_crash_at_any_point_no_table_is_damaged_and_flushed_data_is_there(int seed, int clusterBytes, int refcountBits)
    {
        long size = Math.Min(clusterBytes * 300L, 4 << 20);
        StorageContent empty = await TestImage.CreateAsync(size, clusterBytes, refcountBits);
        byte[] below = new byte[size / 2];
        new Random(seed).NextBytes(below);
        for (int stop = 0; ; stop++)
        {
            var storage = new StorageNode(empty.Clone()) { StopsAt = stop };
            var run = new Run(seed, storage, below, size);
            bool finished = await run.RunAsync();
            StorageContent left = storage.AfterPowerFailure(new Random((seed * 10000) + stop));
            string name = $"seed {seed}, stop {stop}";
            Assert.That(ImageChecker.Check(left.ToArray()).Corruptions, Is.Empty, name);
            await run.CheckFlushedAsync(left.Clone(), name);
            await CheckUsableAsync(left, below, name);
            if (finished)
            {
                Assert.That(stop, Is.GreaterThan(50));
                return;
            }
        }
    }

    [Test]
    public async Task A_crash_while_the_refcount_and_L1_tables_move_damages_nothing()
    {
        const int cluster = 512;
        StorageContent filled = await FilledAsync(cluster, (4096 - 200) * cluster);
        byte[] data = new byte[30 * cluster];
        new Random(1).NextBytes(data);
        for (int stop = 0; ; stop++)
        {
            var storage = new StorageNode(filled.Clone()) { StopsAt = stop };
            Qcow2Node node = await TestImage.OpenAsync(storage);
            try
            {
                for (int i = 0; i < 8; i++)
                {
                    await node.WriteAsync((4096L * cluster) + (i * data.Length), data);
                }

                await node.FlushAsync();
                await node.TruncateAsync(20 << 20);
                await node.WriteAsync(19 << 20, data);
                await node.TruncateAsync(200 << 20);
                await node.WriteAsync(190 << 20, data);
            }
            catch (BlockIoException) when (storage.HasStopped)
            {
                // The power failed.
            }

            await node.CloseAsync();
            ImageChecker check = ImageChecker.Check((storage.HasStopped ? storage.AfterPowerFailure(new Random(stop)) : storage.Content).ToArray());
            Assert.That(check.Corruptions, Is.Empty, $"stop {stop}");
            if (!storage.HasStopped)
            {
                Assert.That(check.Leaks, Is.Zero);
                Assert.That(stop, Is.GreaterThan(50));
                return;
            }
        }
    }

    private static async Task<StorageContent> FilledAsync(int clusterBytes, int bytes)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(4 << 20, clusterBytes, 64));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(0, new byte[bytes]);
        await node.CloseAsync();
        return storage.Content;
    }

    [Test]
    public async Task A_failed_flush_is_remembered_and_no_table_is_written_after_it()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(0, new byte[4096]);
        storage.FailsFlushes = true;
        Assert.That(async () => await node.FlushAsync(), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EIO));
        storage.FailsFlushes = false;
        Assert.That(async () => await node.FlushAsync(), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EIO));
        await node.CloseAsync();
        Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Empty);
    }

    [Test]
    public async Task A_write_that_fails_gives_its_clusters_back()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(0, new byte[4096]);
        storage.FailsWrite = offset => offset >= 5 * 65536;
        Assert.That(async () => await node.WriteAsync(65536, new byte[3 * 65536]), Throws.TypeOf<BlockIoException>());
        storage.FailsWrite = null;
        await node.CloseAsync();
        ImageChecker check = ImageChecker.Check(storage.Bytes);
        Assert.That(check.Corruptions, Is.Empty);
        Assert.That(check.Leaks, Is.Zero);
    }

    private static async Task CheckUsableAsync(StorageContent left, byte[] below, string name)
    {
        var storage = new StorageNode(left);
        Qcow2Node node = await TestImage.OpenAsync(storage, new StorageNode(StorageContent.From(below), readOnly: true));
        await node.WriteAsync(0, new byte[node.SizeBytes / 2]);
        await node.DiscardAsync(0, node.SizeBytes);
        await node.CloseAsync();
        Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Empty, name);
    }

    private sealed class Run(int seed, StorageNode storage, byte[] below, long size)
    {
        private readonly byte[] _flushed = [.. below, .. new byte[size - below.Length]];
        private readonly bool[] _touched = new bool[size];
        private readonly byte[] _twin = [.. below, .. new byte[size - below.Length]];

        /// <summary>Runs the script until it ends or the power fails.</summary>
        public async Task<bool> RunAsync()
        {
            var random = new Random(seed);
            var options = new BlockdevOptionsQcow2 { File = null!, L2CacheSize = 1024, RefcountCacheSize = 1 };
            Qcow2Node node = await TestImage.OpenAsync(storage, new StorageNode(StorageContent.From(below), readOnly: true), options);
            try
            {
                for (int i = 0; i < Requests; i++)
                {
                    await RequestAsync(node, random);
                }
            }
            catch (BlockIoException) when (storage.HasStopped)
            {
                return false;
            }

            await node.CloseAsync();
            return !storage.HasStopped;
        }

        public async Task CheckFlushedAsync(StorageContent left, string name)
        {
            Qcow2Node node = await TestImage.OpenAsync(new StorageNode(left), new StorageNode(StorageContent.From(below), readOnly: true));
            byte[] now = await TestImage.ReadAllAsync(node);
            for (int i = 0; i < now.Length; i++)
            {
                if (!_touched[i] && now[i] != _flushed[i])
                {
                    Assert.Fail($"{name}: byte {i} was flushed as {_flushed[i]} and is {now[i]}");
                }
            }
        }

        private async Task RequestAsync(Qcow2Node node, Random random)
        {
            int cluster = node.ClusterSizeBytes;
            int offset = random.Next((int)size);
            int length = (int)Math.Min(size - offset, random.Next(1, 3 * cluster));
            switch (random.Next(8))
            {
                case < 4:
                    byte[] data = new byte[length];
                    random.NextBytes(data);
                    _touched.AsSpan(offset, length).Fill(true);
                    await node.WriteAsync(offset, data);
                    data.CopyTo(_twin, offset);
                    break;
                case 4:
                    _touched.AsSpan(offset, length).Fill(true);
                    await node.WriteZeroesAsync(offset, length, BlockWriteFlags.MayUnmap);
                    _twin.AsSpan(offset, length).Clear();
                    break;
                case 5 or 6:
                    (int from, int to) = (offset / cluster * cluster, (int)Math.Min(size, (offset / cluster * cluster) + (8 * cluster)));
                    _touched.AsSpan(from, to - from).Fill(true);
                    await node.DiscardAsync(from, to - from);
                    _twin.AsSpan(from, to - from).Clear();
                    break;
                default:
                    await node.FlushAsync();
                    _touched.AsSpan().Clear();
                    _twin.CopyTo(_flushed, 0);
                    break;
            }
        }
    }
}
