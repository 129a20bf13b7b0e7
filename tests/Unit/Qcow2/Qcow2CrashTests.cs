using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>The power fails at every write and flush of a scripted run, dropping or tearing what was not flushed.</summary>
public sealed class Qcow2CrashTests
{
    private const int Backing = 1;
    private const int Extended = 2;
    private const int DataFile = 4;
    private const int Raw = 8;
    private const int Zstd = 16;

    [TestCase(1, 512, 16)]
    [TestCase(3, 1024, 1, BlockdevQcow2Version.V3, Backing)]
    [TestCase(4, 4096, 16, BlockdevQcow2Version.V2, Backing)]
    [TestCase(5, 512, 2)]
    [TestCase(7, 16384, 16, BlockdevQcow2Version.V3, Backing | Extended)]
    [TestCase(8, 16384, 8, BlockdevQcow2Version.V3, Extended | Zstd)]
    [TestCase(9, 4096, 16, BlockdevQcow2Version.V3, Backing | DataFile)]
    [TestCase(10, 4096, 16, BlockdevQcow2Version.V3, DataFile | Raw)]
    [TestCase(11, 16384, 16, BlockdevQcow2Version.V3, Extended | DataFile)]
    public async Task After_a_crash_at_any_point_no_table_is_damaged_and_what_was_made_durable_is_there(
        int seed, int clusterBytes, int refcountBits, BlockdevQcow2Version version = BlockdevQcow2Version.V3, int features = 0)
    {
        var options = new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)Math.Clamp(clusterBytes * 120L, 60 * 1024, 256 * 1024),
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = refcountBits,
            Version = version,
            ExtendedL2 = (features & Extended) != 0,
            CompressionType = (features & Zstd) != 0 ? Qcow2CompressionType.Zstd : null,
            DataFileRaw = (features & Raw) != 0,
        };
        CrashImage empty = await CrashImage.CreateAsync(options, (features & Backing) != 0, (features & DataFile) != 0);
        for (int stop = 0; ; stop++)
        {
            CrashImage image = empty.Clone();
            image.Power.StopsAt = stop;
            var run = new CrashRun(image, seed);
            bool finished = await run.RunAsync();
            CrashImage left = image.AfterPowerFailure(new Random((seed * 10000) + stop));
            string name = $"seed {seed}, stop {stop}";
            Assert.That(ImageChecker.Check(left.Bytes).Corruptions, Is.Empty, name);
            await run.CheckAsync(left.Clone(), name);
            await CheckUsableAsync(left, name);
            if (finished)
            {
                Assert.That(stop, Is.GreaterThan(50));
                Assert.That(ImageChecker.Check(image.Bytes).Leaks, Is.Zero, name);
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

    [TestCase(16, false)]
    [TestCase(64, true)]
    public async Task A_crash_while_an_image_is_emptied_changes_nothing_that_is_read(int refcountBits, bool hasSnapshot)
    {
        const int Cluster = 512;
        const int Size = 400 * Cluster;
        byte[] below = new byte[Size];
        new Random(7).NextBytes(below);
        StorageContent committed = await CommittedAsync(below, Cluster, refcountBits, hasSnapshot);
        for (int stop = 0; ; stop++)
        {
            var storage = new StorageNode(committed.Clone()) { StopsAt = stop };
            Qcow2Node node = await TestImage.OpenAsync(storage, new StorageNode(StorageContent.From(below), readOnly: true));
            try
            {
                await node.MakeEmptyAsync();
                await node.FlushAsync();
            }
            catch (BlockIoException) when (storage.HasStopped)
            {
                // The power failed.
            }

            await node.CloseAsync();
            StorageContent left = storage.HasStopped ? storage.AfterPowerFailure(new Random(stop)) : storage.Content;
            ImageChecker check = ImageChecker.Check(left.ToArray());
            Assert.That(check.Corruptions, Is.Empty, $"stop {stop}");
            Qcow2Node reopened = await TestImage.OpenAsync(new StorageNode(left.Clone()), new StorageNode(StorageContent.From(below), readOnly: true));
            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(reopened), below), Is.EqualTo(-1), $"stop {stop}");
            if (!storage.HasStopped)
            {
                Assert.That(check.Leaks, Is.Zero);
                Assert.That(stop, Is.GreaterThan(5));
                Assert.That(await reopened.MapAsync(0, Size), Is.EqualTo(new BlockMapping(BlockMappingKind.Backing, Size)));
                Assert.That(left.ToArray(), Has.Length.LessThan(hasSnapshot ? 2 * Size : Size));
                return;
            }
        }
    }

    /// <summary>An image that holds the same as what is below it.</summary>
    private static async Task<StorageContent> CommittedAsync(byte[] below, int clusterBytes, int refcountBits, bool hasSnapshot)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(below.Length, clusterBytes, refcountBits));
        Qcow2Node node = await TestImage.OpenAsync(storage, new StorageNode(StorageContent.From(below), readOnly: true));
        await node.WriteAsync(0, below);
        if (hasSnapshot)
        {
            await node.CreateSnapshotAsync("s", DateTimeOffset.UnixEpoch);
            await node.WriteAsync(0, below.AsMemory(0, 10 * clusterBytes));
        }

        await node.CloseAsync();
        return storage.Content;
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

    private static async Task CheckUsableAsync(CrashImage left, string name)
    {
        Qcow2Node node = await left.OpenAsync();
        await node.WriteAsync(0, new byte[node.SizeBytes / 2]);
        await node.DiscardAsync(0, node.SizeBytes);
        await node.CloseAsync();
        Assert.That(ImageChecker.Check(left.Bytes).Corruptions, Is.Empty, name);
    }
}
