using System.Buffers.Binary;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>Checks and repairs of images that are in use.</summary>
public sealed class Qcow2CheckTests
{
    private const int ClusterBytes = 1024;
    private const int DiskBytes = 1 << 20;

    [Test]
    public async Task A_check_finds_what_was_wrong_when_it_began_whatever_guests_do_meanwhile([Range(1, 12)] int seed)
    {
        var random = new Random(seed);
        StorageContent damaged = await DamagedAsync(random, leaksOnly: false);
        Qcow2Node quiet = await TestImage.OpenAsync(new StorageNode(damaged.Clone(), readOnly: true), readOnly: true);
        await quiet.TryCheckAsync(ImageCheckFix.None);
        ImageCheckFindings expected = quiet.LastCheck!.Value.Findings;
        Assert.That((expected.Corruptions, expected.Leaks), Is.Not.EqualTo((0, 0)));

        Qcow2Node node = await TestImage.OpenAsync(new StorageNode(damaged));
        byte[] twin = await TestImage.ReadAllAsync(node);
        var pace = new CheckPace(step => step == 1 ? default : UseAsync(node, twin, random));
        Assert.That(await node.TryCheckAsync(ImageCheckFix.None, pace), Is.True);
        Assert.That(Describe(node.LastCheck!.Value.Findings), Is.EqualTo(Describe(expected)), $"seed {seed}");
        Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1));
    }

    [Test]
    public async Task Leaks_are_given_back_while_guests_write([Range(1, 8)] int seed)
    {
        var random = new Random(seed);
        var storage = new StorageNode(await DamagedAsync(random, leaksOnly: true));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] twin = await TestImage.ReadAllAsync(node);
        var pace = new CheckPace(_ => UseAsync(node, twin, random));
        Assert.That(await node.TryCheckAsync(ImageCheckFix.Leaks, pace), Is.True);
        ImageCheckFindings findings = node.LastCheck!.Value.Findings;
        Assert.That((findings.Leaks, findings.LeaksFixed > 0, pace.Done), Is.EqualTo((0, true, pace.Total)));
        await FinishAsync(node, storage, twin, $"seed {seed}");
    }

    [Test]
    public async Task Checks_and_repairs_in_a_loop_take_no_cluster_from_guests_that_write([Range(1, 3)] int seed)
    {
        var storage = new StorageNode(await DamagedAsync(new Random(seed), leaksOnly: true), seed);
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] twin = await TestImage.ReadAllAsync(node);
        Task[] guests = [.. Enumerable.Range(0, 4).Select(guest => Task.Run(async () =>
        {
            var random = new Random((seed * 10) + guest);
            for (int i = 0; i < 150; i++)
            {
                await UseAsync(node, twin, random, guest, guests: 4);
            }
        }))];
        Task guestsEnd = Task.WhenAll(guests);
        for (int i = 0; i < 3 || !guestsEnd.IsCompleted; i++)
        {
            Assert.That(await node.TryCheckAsync(i % 2 == 0 ? ImageCheckFix.All : ImageCheckFix.None, new CheckPace(async _ => await Task.Yield())), Is.True);
            ImageCheckFindings findings = node.LastCheck!.Value.Findings;
            Assert.That(findings.Corruptions + findings.Leaks, Is.Zero, $"check {i}: {string.Join('\n', findings.Messages)}");
        }

        await guestsEnd;
        await FinishAsync(node, storage, twin, $"seed {seed}");
    }

    [Test]
    public async Task A_check_that_is_ended_at_any_step_changes_nothing_and_guests_go_on()
    {
        StorageContent damaged = await DamagedAsync(new Random(1), leaksOnly: true);
        var whole = new CheckPace(_ => default);
        Qcow2Node first = await TestImage.OpenAsync(new StorageNode(damaged.Clone()));
        await first.TryCheckAsync(ImageCheckFix.None, whole);
        Assert.That((whole.Done, whole.Total), Is.EqualTo((whole.Total, whole.Done)));
        Assert.That(whole.Total, Is.GreaterThan(10));
        for (int last = 1; last <= whole.Total; last++)
        {
            var storage = new StorageNode(damaged.Clone());
            Qcow2Node node = await TestImage.OpenAsync(storage);
            byte[] twin = await TestImage.ReadAllAsync(node);
            var pace = new CheckPace(step => step == last ? throw new OperationCanceledException() : default);
            Assert.That(async () => await node.TryCheckAsync(ImageCheckFix.None, pace), Throws.TypeOf<OperationCanceledException>());
            Assert.That(node.LastCheck, Is.Null);
            var random = new Random(last);
            await UseAsync(node, twin, random);
            Assert.That(await node.TryCheckAsync(ImageCheckFix.All), Is.True);
            await FinishAsync(node, storage, twin, $"ended at {last}");
        }
    }

    [Test]
    public async Task A_halted_check_stops_no_guest_and_begins_again_after_a_snapshot()
    {
        var storage = new StorageNode(await DamagedAsync(new Random(1), leaksOnly: true));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] twin = await TestImage.ReadAllAsync(node);
        var halted = new TaskCompletionSource();
        var pace = new CheckPace(async step => await (step == 8 ? halted.Task : Task.CompletedTask));
        Task<bool> check = node.TryCheckAsync(ImageCheckFix.Leaks, pace).AsTask();
        for (int i = 0; i < 20; i++)
        {
            await UseAsync(node, twin, new Random(i));
        }

        await node.CreateSnapshotAsync("meanwhile", DateTimeOffset.UnixEpoch);
        await node.DeleteSnapshotAsync("1", "before");
        for (int i = 0; i < 40; i++)
        {
            await UseAsync(node, twin, new Random(100 + i));
        }

        await node.FlushAsync();
        Assert.That(check.IsCompleted, Is.False);
        halted.SetResult();
        Assert.That(await check, Is.True);
        await FinishAsync(node, storage, twin, "halted");
    }

    [Test]
    public async Task A_table_that_a_smaller_disk_gives_back_is_looked_at_before_it_becomes_another_guests()
    {
        StorageContent damaged = await DamagedAsync(new Random(2), leaksOnly: true);
        Qcow2Node quiet = await TestImage.OpenAsync(new StorageNode(damaged.Clone(), readOnly: true), readOnly: true);
        await quiet.TryCheckAsync(ImageCheckFix.None);
        Qcow2Node node = await TestImage.OpenAsync(new StorageNode(damaged));
        var pace = new CheckPace(async step =>
        {
            if (step == 3)
            {
                await node.TruncateAsync(DiskBytes / 2);
                byte[] twin = await TestImage.ReadAllAsync(node);
                for (int i = 0; i < 40; i++)
                {
                    await UseAsync(node, twin, new Random(i));
                }
            }
        });
        Assert.That(await node.TryCheckAsync(ImageCheckFix.None, pace), Is.True);
        Assert.That(Describe(node.LastCheck!.Value.Findings), Is.EqualTo(Describe(quiet.LastCheck!.Value.Findings)));
    }

    [Test]
    public async Task A_repair_that_is_ended_leaves_the_image_as_it_was()
    {
        StorageContent damaged = await DamagedAsync(new Random(3), leaksOnly: false);
        Qcow2Node node = await TestImage.OpenAsync(new StorageNode(damaged));
        byte[] twin = await TestImage.ReadAllAsync(node);
        Assert.That(await node.TryCheckAsync(ImageCheckFix.All), Is.False);
        long corruptions = node.LastCheck!.Value.Findings.Corruptions;
        var pace = new CheckPace(step => step == 5 ? throw new OperationCanceledException() : default);
        Assert.That(async () => await node.RepairAsync(ImageCheckFix.All, pace), Throws.TypeOf<OperationCanceledException>());
        Assert.That(await node.TryCheckAsync(ImageCheckFix.None), Is.True);
        Assert.That(node.LastCheck!.Value.Findings.Corruptions, Is.EqualTo(corruptions));
        await node.RepairAsync(ImageCheckFix.All);
        Assert.That(await node.TryCheckAsync(ImageCheckFix.All), Is.True);
        Assert.That(node.LastCheck!.Value.Findings.Corruptions, Is.Zero);
        Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1));
    }

    [Test]
    public async Task A_table_that_cannot_be_read_ends_the_check_and_not_the_guest()
    {
        var storage = new StorageNode(await DamagedAsync(new Random(1), leaksOnly: true));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] twin = await TestImage.ReadAllAsync(node);
        var pace = new CheckPace(step => step == 12 ? throw new BlockIoException(Errno.EIO) : default);
        Assert.That(async () => await node.TryCheckAsync(ImageCheckFix.Leaks, pace), Throws.TypeOf<BlockIoException>());
        await UseAsync(node, twin, new Random(5));
        Assert.That(await node.TryCheckAsync(ImageCheckFix.Leaks), Is.True);
        await FinishAsync(node, storage, twin, "read error");
    }

    private static async Task FinishAsync(Qcow2Node node, StorageNode storage, byte[] twin, string name)
    {
        Assert.That(TestImage.FirstDifference(await TestImage.ReadAllAsync(node), twin), Is.EqualTo(-1), name);
        await node.CloseAsync();
        ImageChecker check = ImageChecker.Check(storage.Bytes);
        Assert.That(check.Corruptions, Is.Empty, name);
        Assert.That(check.Leaks, Is.Zero, name);
    }

    private static string Describe(ImageCheckFindings findings) =>
        $"{findings.Corruptions} {findings.Leaks} {findings.CheckErrors} {findings.AllocatedClusters} {findings.FragmentedClusters} {findings.CompressedClusters} "
        + $"{findings.TotalClusters} {findings.ImageEndOffset}\n" + string.Join('\n', findings.Messages.Order(StringComparer.Ordinal));

    /// <summary>A few random requests of one guest, in its own part of the disk; often a flush, which writes the tables.</summary>
    private static async ValueTask UseAsync(Qcow2Node node, byte[] twin, Random random, int guest = 0, int guests = 1)
    {
        int share = twin.Length / guests;
        for (int requests = random.Next(1, 5); requests > 0; requests--)
        {
            int offset = (guest * share) + (random.Next(share / ClusterBytes) * ClusterBytes);
            int length = Math.Min(((guest + 1) * share) - offset, ClusterBytes * random.Next(1, 40));
            switch (random.Next(6))
            {
                case < 3:
                    random.NextBytes(twin.AsSpan(offset, length));
                    await node.WriteAsync(offset, twin.AsMemory(offset, length), random.Next(5) == 0 ? BlockWriteFlags.Compressed : BlockWriteFlags.None);
                    break;
                case 3:
                    twin.AsSpan(offset, length).Clear();
                    await node.WriteZeroesAsync(offset, length, BlockWriteFlags.MayUnmap);
                    break;
                case 4:
                    twin.AsSpan(offset, length).Clear();
                    await node.DiscardAsync(offset, length);
                    break;
                default:
                    await node.FlushAsync();
                    break;
            }
        }
    }

    /// <summary>An image with data, compressed clusters and a snapshot, in which clusters leak; if not only that, some have a reference and a COPIED flag too.</summary>
    private static async Task<StorageContent> DamagedAsync(Random random, bool leaksOnly)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(DiskBytes, ClusterBytes));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] twin = new byte[DiskBytes];
        for (int i = 0; i < 20; i++)
        {
            await UseAsync(node, twin, random);
        }

        await node.CreateSnapshotAsync("before", DateTimeOffset.UnixEpoch);
        for (int i = 0; i < 20; i++)
        {
            await UseAsync(node, twin, random);
        }

        await node.CloseAsync();
        byte[] bytes = [.. storage.Bytes, .. new byte[30 * ClusterBytes]];
        int end = bytes.Length / ClusterBytes;
        for (int leaks = 0; leaks < 12; leaks++)
        {
            int cluster = leaksOnly ? random.Next(end - 30, end) : random.Next(end);
            int at = (int)U64(bytes, (int)U64(bytes, 48) + (cluster / (ClusterBytes / 2) * 8)) + (cluster % (ClusterBytes / 2) * 2);
            ushort count = BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(at));
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(at), leaksOnly ? (ushort)1 : (ushort)(count + 1));
        }

        return StorageContent.From(bytes);
    }

    private static ulong U64(byte[] bytes, int at) => BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at));
}
