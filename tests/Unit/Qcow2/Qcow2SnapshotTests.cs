using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Snapshots inside images: what they show, whatever happens while they are taken and deleted.</summary>
public sealed class Qcow2SnapshotTests
{
    private static readonly DateTimeOffset s_now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    [Test]
    public async Task Random_writes_and_snapshots_show_what_plain_copies_show([Range(1, 16)] int seed)
    {
        var random = new Random(seed);
        int clusterBytes = 512 << random.Next(8);
        int refcountBits = 4 << random.Next(5);
        BlockdevQcow2Version version = refcountBits == 16 ? BlockdevQcow2Version.V2 : BlockdevQcow2Version.V3;
        int size = clusterBytes * random.Next(20, 200);
        StorageContent content = await TestImage.CreateAsync(size, clusterBytes, refcountBits, version);
        string name = $"seed {seed}, cluster {clusterBytes}, refcount bits {refcountBits}, size {size}";
        byte[] twin = new byte[size];
        var snapshots = new List<byte[]>();
        for (int round = 0; round < 4; round++)
        {
            var storage = new StorageNode(content, seed);
            Qcow2Node node = await TestImage.OpenAsync(storage, options: new BlockdevOptionsQcow2 { File = null!, L2CacheSize = 2048, RefcountCacheSize = 1 });
            for (int i = 0; i < 25; i++)
            {
                await StepAsync(node, random, twin, snapshots);
            }

            Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1), name);
            await node.CloseAsync();
            CheckImage(storage.Bytes, snapshots, name);
            content = storage.Content;
        }
    }

    [TestCase(512, 16)]
    [TestCase(4096, 4)]
    public async Task The_power_may_fail_at_any_write_or_flush_of_taking_and_deleting(int clusterBytes, int refcountBits)
    {
        byte[] first = Filled(60 * clusterBytes, 1);
        byte[] second = Filled(60 * clusterBytes, 2);
        StorageContent empty = await TestImage.CreateAsync(60 * clusterBytes, clusterBytes, refcountBits);
        for (int stop = 0; ; stop++)
        {
            var storage = new StorageNode(empty.Clone()) { StopsAt = stop };
            await TakeAndDeleteAsync(storage, first, second);
            byte[] left = (storage.HasStopped ? storage.AfterPowerFailure(new Random(stop)) : storage.Content).ToArray();
            Assert.That(ImageChecker.Check(left).Corruptions, Is.Empty, $"stop {stop}");
            Qcow2Node node = await TestImage.OpenAsync(new StorageNode(StorageContent.From(left)));
            IReadOnlyList<SnapshotInfo> snapshots = node.ListSnapshots();
            for (int i = 0; i < snapshots.Count; i++)
            {
                byte[] expected = snapshots[i].Name == "first" ? first : second;
                Assert.That(TestImage.FirstDifference(ImageChecker.ReadSnapshot(left, i), expected), Is.EqualTo(-1), $"stop {stop}, {snapshots[i].Name}");
            }

            if (!storage.HasStopped)
            {
                Assert.That(snapshots.Select(s => s.Name), Is.EqualTo(new[] { "second" }));
                Assert.That(stop, Is.GreaterThan(50));
                return;
            }
        }
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task A_full_disk_leaves_the_image_as_it_was_and_the_next_try_succeeds(bool deletes)
    {
        byte[] data = Filled(100 * 512, 3);
        for (int k = 0; ; k++)
        {
            var storage = new StorageNode(await TestImage.CreateAsync(data.Length, 512));
            Qcow2Node node = await TestImage.OpenAsync(storage);
            await node.WriteAsync(0, data);
            await node.CreateSnapshotAsync("kept", s_now);
            await node.WriteAsync(0, data.AsMemory(0, 7 * 512));
            await node.FlushAsync();
            (int writes, int fails) = (0, k);
            storage.FailsWrite = _ => writes++ == fails;
            bool failed = !await TryAsync(() => deletes ? node.DeleteSnapshotAsync("1", "kept") : Take(node, "new"));
            storage.FailsWrite = null;
            Assert.That(node.ListSnapshots().Select(s => s.Name), failed ? Is.EqualTo(new[] { "kept" }) : Is.EqualTo(deletes ? [] : new[] { "kept", "new" }));

            Assert.That(!failed || await TryAsync(() => Take(node, "again")), $"write {k}");
            await node.WriteAsync(0, data.AsMemory(0, 512));
            await node.CloseAsync();
            ImageChecker check = ImageChecker.Check(storage.Bytes);
            Assert.That(check.Corruptions, Is.Empty, $"write {k}");
            Assert.That(check.Leaks, Is.Zero, $"write {k}");
            if (!failed)
            {
                Assert.That(k, Is.GreaterThan(5));
                return;
            }
        }
    }

    [Test]
    public async Task Ids_count_on_names_are_cut_and_dates_are_kept()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.CreateSnapshotAsync("a", s_now);
        await node.CreateSnapshotAsync(new string('x', 300), s_now.AddTicks(1234567));
        await node.DeleteSnapshotAsync("1", "a");
        await node.CreateSnapshotAsync("b", s_now);
        await node.CloseAsync();
        Qcow2Node again = await TestImage.OpenAsync(storage);
        IReadOnlyList<SnapshotInfo> snapshots = again.ListSnapshots();
        Assert.That(snapshots.Select(s => s.Id), Is.EqualTo(new[] { "2", "3" }));
        Assert.That(snapshots.Select(s => s.Name), Is.EqualTo(new[] { new string('x', 255), "b" }));
        Assert.That(snapshots[0].DateSec, Is.EqualTo(s_now.ToUnixTimeSeconds()));
        Assert.That(snapshots[0].DateNsec, Is.EqualTo(123456700));
        Assert.That(snapshots[0].Icount, Is.Null);
    }

    [Test]
    public async Task A_refcount_without_room_refuses_a_snapshot_and_changes_nothing()
    {
        var storage = new StorageNode(await TestImage.CreateAsync(1 << 20, refcountBits: 1));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(0, new byte[100]);
        Assert.That(
            async () => await node.CreateSnapshotAsync("a", s_now), Throws.TypeOf<BlockIoException>().With.Property("Errno").EqualTo(Errno.EINVAL));
        await node.WriteAsync(200000, new byte[100]);
        await node.CloseAsync();
        CheckImage(storage.Bytes, [], "one bit");
    }

    [Test]
    public async Task A_snapshot_can_be_shown_while_the_disk_goes_on()
    {
        byte[] before = Filled(100_000, 1);
        var storage = new StorageNode(await TestImage.CreateAsync(99_840, 512));
        Qcow2Node live = await TestImage.OpenAsync(storage);
        await live.WriteAsync(0, before.AsMemory(0, 99_840));
        await live.CreateSnapshotAsync("monday", s_now);
        await live.WriteAsync(0, Filled(99_840, 2));
        await live.TruncateAsync(200_192);
        Qcow2Node shown = await ShowAsync(storage, "monday", readOnly: true);
        await live.WriteAsync(0, Filled(99_840, 3));
        await live.FlushAsync();
        Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(shown), before.AsSpan(0, 99_840)), Is.EqualTo(-1));
        Assert.That((await ShowAsync(storage, "1", readOnly: true)).SizeBytes, Is.EqualTo(99_840));
        Assert.That(async () => await ShowAsync(storage, "sunday", readOnly: true), Throws.TypeOf<QmpException>().With.Message.EqualTo("Can't find snapshot 'sunday'"));
        Assert.That(
            async () => await ShowAsync(storage, "monday", readOnly: false),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("A snapshot can only be opened read-only"));
    }

    private static Task<Qcow2Node> ShowAsync(StorageNode storage, string snapshot, bool readOnly) =>
        TestImage.OpenAsync(storage, options: new BlockdevOptionsQcow2 { File = null!, XSnapshot = snapshot }, readOnly: readOnly);

    [Test]
    public async Task A_version_2_image_with_snapshots_is_not_resized()
    {
        Qcow2Node node = await TestImage.OpenAsync(new StorageNode(await TestImage.CreateAsync(1 << 20, version: BlockdevQcow2Version.V2)));
        await node.CreateSnapshotAsync("a", s_now);
        Assert.That(
            async () => await node.TruncateAsync(2 << 20), Throws.TypeOf<BlockIoException>().With.Message.EqualTo("Can't resize a v2 image which has snapshots"));
    }

    private static async Task StepAsync(Qcow2Node node, Random random, byte[] twin, List<byte[]> snapshots)
    {
        int offset = random.Next(twin.Length);
        int length = Math.Min(twin.Length - offset, random.Next(1, 5 * node.ClusterSizeBytes));
        switch (random.Next(8))
        {
            case < 4:
                random.NextBytes(twin.AsSpan(offset, length));
                await node.WriteAsync(offset, twin.AsMemory(offset, length));
                break;
            case 4:
                await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                twin.AsSpan(offset, length).Clear();
                break;
            case 5:
                await node.FlushAsync();
                break;
            case 6 when snapshots.Count < 3:
                await node.CreateSnapshotAsync($"at {offset}", s_now);
                snapshots.Add([.. twin]);
                break;
            default:
                if (snapshots.Count > 0)
                {
                    int at = random.Next(snapshots.Count);
                    SnapshotInfo snapshot = node.ListSnapshots()[at];
                    await node.DeleteSnapshotAsync(snapshot.Id, snapshot.Name);
                    snapshots.RemoveAt(at);
                }

                break;
        }
    }

    private static async Task TakeAndDeleteAsync(StorageNode storage, byte[] first, byte[] second)
    {
        try
        {
            Qcow2Node node = await TestImage.OpenAsync(storage);
            await node.WriteAsync(0, first);
            await node.CreateSnapshotAsync("first", s_now);
            await node.WriteAsync(0, second);
            await node.CreateSnapshotAsync("second", s_now);
            await node.WriteZeroesAsync(0, second.Length / 2, BlockWriteFlags.MayUnmap);
            await node.DeleteSnapshotAsync("1", "first");
            await node.WriteAsync(0, first);
            await node.CloseAsync();
        }
        catch (BlockIoException) when (storage.HasStopped)
        {
            // The power failed.
        }
    }

    private static async ValueTask Take(Qcow2Node node, string name) => await node.CreateSnapshotAsync(name, s_now);

    private static async Task<bool> TryAsync(Func<ValueTask> request)
    {
        try
        {
            await request();
            return true;
        }
        catch (BlockIoException)
        {
            return false;
        }
    }

    private static byte[] Filled(int length, int seed)
    {
        byte[] data = new byte[length];
        new Random(seed).NextBytes(data);
        return data;
    }

    private static void CheckImage(byte[] image, List<byte[]> snapshots, string name)
    {
        ImageChecker check = ImageChecker.Check(image);
        Assert.That(check.Corruptions, Is.Empty, name);
        Assert.That(check.Leaks, Is.Zero, name);
        for (int i = 0; i < snapshots.Count; i++)
        {
            Assert.That(TestImage.FirstDifference(ImageChecker.ReadSnapshot(image, i), snapshots[i]), Is.EqualTo(-1), $"{name}, snapshot {i}");
        }
    }
}
