using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>One read, write or flush of a scripted run fails, each in turn: an error to the caller, a sound image, and the next try succeeds.</summary>
public sealed class Qcow2FaultTests
{
    private const int Size = 100 * 512;
    private const int Larger = 140 * 512;

    private static readonly DateTimeOffset s_now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    [TestCase(16, 1024)]
    [TestCase(64, 512)]
    public async Task Whatever_fails_once_is_an_error_of_one_request_that_can_be_tried_again(int refcountBits, int cacheBytes)
    {
        StorageContent empty = await TestImage.CreateAsync(Size, 512, refcountBits);
        for (int k = 0; ; k++)
        {
            var storage = new StorageNode(empty.Clone()) { FailsOnceAt = k };
            byte[] twin = new byte[Larger];
            bool ended = await RunAsync(storage, null, cacheBytes, twin);
            ImageChecker check = ImageChecker.Check(storage.Bytes);
            Assert.That(check.Corruptions, Is.Empty, $"request {k}");
            if (ended)
            {
                byte[] now = await TestImage.ReadAllAsync(await TestImage.OpenAsync(new StorageNode(storage.Content)));
                Assert.That(TestImage.FirstDifference(now, twin), Is.EqualTo(-1), $"request {k}");
            }

            if (storage.Requests <= k)
            {
                Assert.That(check.Leaks, Is.Zero);
                Assert.That(k, Is.GreaterThan(100));
                return;
            }
        }
    }

    /// <summary>A raw data file must follow what is zeroed, discarded and resized: by writes, zeroes and truncations that fail too.</summary>
    [Test]
    public async Task Whatever_fails_once_in_a_data_file_can_be_tried_again([Values] bool isRaw, [Values] bool failsInData)
    {
        for (int k = 0; ; k++)
        {
            var data = new StorageNode();
            StorageContent empty = await TestImage.CreateAsync(
                new BlockdevCreateOptionsQcow2 { File = null!, Size = Size, ClusterSize = 512, DataFileRaw = isRaw }, data);
            data = new StorageNode(data.Content) { FailsOnceAt = failsInData ? k : int.MaxValue };
            var storage = new StorageNode(empty) { FailsOnceAt = failsInData ? int.MaxValue : k };
            byte[] twin = new byte[Larger];
            bool ended = await RunAsync(storage, data, 1024, twin);
            ImageChecker check = ImageChecker.Check(storage.Bytes);
            Assert.That(check.Corruptions, Is.Empty, $"request {k}");
            if (ended)
            {
                Qcow2Node node = await TestImage.OpenAsync(new StorageNode(storage.Content), dataFile: new StorageNode(data.Content));
                Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1), $"request {k}");
                Assert.That(isRaw ? TestImage.FirstDifference(data.Bytes, twin) : -1, Is.EqualTo(-1), $"request {k}, the data file");
            }

            if ((failsInData ? data : storage).Requests <= k)
            {
                Assert.That(check.Leaks, Is.Zero);
                Assert.That(k, Is.GreaterThan(15));
                return;
            }
        }
    }

    /// <summary>Runs the script.</summary>
    /// <returns>Whether it ran to its end; it cannot once a sync failed, for what that covered may be lost.</returns>
    private static async Task<bool> RunAsync(StorageNode storage, StorageNode? data, int cacheBytes, byte[] twin)
    {
        StorageNode failing = data is { FailsOnceAt: < int.MaxValue } ? data : storage;
        var options = new BlockdevOptionsQcow2 { File = null!, L2CacheSize = cacheBytes, RefcountCacheSize = 1 };
        Qcow2Node? node = null;
        bool ended = await TryTwiceAsync(failing, async () => node = await TestImage.OpenAsync(storage, options: options, dataFile: data));
        foreach (Func<Qcow2Node, byte[], ValueTask> step in data is null ? Script() : DataFileScript())
        {
            ended = ended && await TryTwiceAsync(failing, () => step(node!, twin));
        }

        await (node?.CloseAsync() ?? default);
        return ended && failing.Requests > failing.FailsOnceAt;
    }

    private static async Task<bool> TryTwiceAsync(StorageNode storage, Func<ValueTask> step)
    {
        try
        {
            await step();
        }
        catch (Exception e) when (e is BlockIoException or QmpException && storage.Requests > storage.FailsOnceAt)
        {
            try
            {
                await step();
            }
            catch (BlockIoException) when (storage.HasFailedFlush)
            {
                return false;
            }
        }

        return true;
    }

    private static IEnumerable<Func<Qcow2Node, byte[], ValueTask>> Script()
    {
        yield return Write(1, 300, 30_000);
        yield return Write(2, 40_000, 3_000);
        yield return (node, _) => node.FlushAsync();
        yield return Write(3, 88 * 512, 512, BlockWriteFlags.Compressed);
        yield return async (node, _) => await node.CreateSnapshotAsync("first", s_now);
        yield return Write(4, 1_000, 12_000);
        yield return Zero(2_000, 9_000);
        yield return async (node, _) => await node.CreateSnapshotAsync("second", s_now);
        yield return Write(5, 11_111, 22_222);
        yield return (node, _) => node.DeleteSnapshotAsync("1", "first");
        yield return (node, _) => node.TruncateAsync(Larger);
        yield return Write(6, Size - 100, 10_000);
        yield return Discard(4 * 512, 30 * 512);
        yield return (node, _) => node.FlushAsync();
        yield return (node, _) => node.DeleteSnapshotAsync("2", "second");
        yield return Write(7, 100, 200);
    }

    private static IEnumerable<Func<Qcow2Node, byte[], ValueTask>> DataFileScript()
    {
        yield return Write(1, 300, 30_000);
        yield return Zero(2_000, 9_000);
        yield return (node, _) => node.FlushAsync();
        yield return Discard(4 * 512, 30 * 512);
        yield return Write(2, 3_000, 5_000);
        yield return (node, _) => node.TruncateAsync(Larger);
        yield return Write(3, Size - 100, 10_000);
        yield return Zero(Size, 2_048);
        yield return (node, _) => node.FlushAsync();
        yield return Write(4, 100, 200);
    }

    private static Func<Qcow2Node, byte[], ValueTask> Write(byte value, int offset, int length, BlockWriteFlags flags = BlockWriteFlags.None) => (node, twin) =>
    {
        twin.AsSpan(offset, length).Fill(value);
        return node.WriteAsync(offset, twin.AsMemory(offset, length), flags);
    };

    private static Func<Qcow2Node, byte[], ValueTask> Zero(int offset, int length) => (node, twin) =>
    {
        twin.AsSpan(offset, length).Clear();
        return node.WriteZeroesAsync(offset, length, BlockWriteFlags.MayUnmap);
    };

    private static Func<Qcow2Node, byte[], ValueTask> Discard(int offset, int length) => (node, twin) =>
    {
        twin.AsSpan(offset, length).Clear();
        return node.DiscardAsync(offset, length);
    };
}
