using System.Text.Json.Nodes;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;
using Testing;

namespace Interop.Qcow2;

/// <summary>Snapshots inside images, exchanged with the real tools both ways.</summary>
public sealed class SnapshotExchangeTests
{
    private const int SizeBytes = 4 << 20;

    private static readonly DateTimeOffset s_now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero);

    private TemporaryDirectory _directory = null!;

    private string Image => Path.Combine(_directory.Path, "image");

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void RemoveDirectory() => _directory.Dispose();

    [TestCase("cluster_size=512")]
    [TestCase("cluster_size=4096,refcount_bits=2")]
    [TestCase("compat=0.10")]
    [TestCase("refcount_bits=64")]
    [TestCase("cluster_size=2M,refcount_bits=8")]
    [TestCase("preallocation=metadata")]
    [TestCase("extended_l2=on")]
    [TestCase("cluster_size=16k,extended_l2=on,refcount_bits=32")]
    public async Task Ours_are_sound_to_the_real_tools_show_the_old_bytes_and_can_be_deleted_by_them(string options)
    {
        await QemuTool.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, Image, $"{SizeBytes}");
        byte[] first = Filled(1);
        byte[] second = Filled(2);
        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            await image.Node.WriteAsync(0, first);
            await image.Node.CreateSnapshotAsync("first", s_now);
            await image.Node.WriteAsync(0, second);
            await image.Node.CreateSnapshotAsync("second", s_now);
            await image.Node.WriteZeroesAsync(0, SizeBytes / 2, Monitor.Block.BlockWriteFlags.MayUnmap);
        }

        await QemuTool.CheckAsync(Image);
        await CompareAsync("first", first);
        await CompareAsync("second", second);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-d", "first", Image);
        await QemuTool.CheckAsync(Image);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-a", "second", Image);
        await QemuTool.CheckAsync(Image);
        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            Assert.That(await ReadAllAsync(image.Node), Is.EqualTo(second).AsCollection);
            await image.Node.WriteAsync(100, first.AsMemory(0, 300000));
            await image.Node.DeleteSnapshotAsync("2", "second");
        }

        await QemuTool.CheckAsync(Image);
    }

    [TestCase("cluster_size=512")]
    [TestCase("compat=0.10")]
    [TestCase("refcount_bits=64")]
    public async Task Theirs_are_listed_kept_and_deleted_and_bitmaps_stay(string options)
    {
        await QemuTool.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, Image, $"{SizeBytes}");
        await QemuTool.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 3M", Image);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-c", "a", Image);
        await QemuTool.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 6 1M 1M", Image);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-c", "b", Image);
        bool hasBitmaps = options != "compat=0.10";
        if (hasBitmaps)
        {
            await QemuTool.RunAsync("qemu-img", "bitmap", "--add", Image, "dirty");
        }

        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            JsonNode info = JsonNode.Parse(await QemuTool.RunAsync("qemu-img", "info", "-U", "--output=json", Image))!;
            SnapshotInfo b = image.Node.ListSnapshots()[1];
            JsonNode theirs = info["snapshots"]![1]!;
            Assert.That(
                (b.Id, b.Name, b.DateSec, b.DateNsec, b.Icount),
                Is.EqualTo(((string)theirs["id"]!, (string)theirs["name"]!, (long)theirs["date-sec"]!, (long)theirs["date-nsec"]!, (long?)theirs["icount"])));
            await image.Node.WriteAsync(12345, new byte[2 << 20]);
            await image.Node.DeleteSnapshotAsync("1", "a");
        }

        await QemuTool.CheckAsync(Image);
        byte[] expected = new byte[SizeBytes];
        expected.AsSpan(0, 3 << 20).Fill(5);
        expected.AsSpan(1 << 20, 1 << 20).Fill(6);
        await CompareAsync("b", expected);
        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            await image.Node.DeleteSnapshotAsync("2", "b");
            Assert.That(image.Node.Bitmaps.List(), Has.Count.EqualTo(hasBitmaps ? 1 : 0));
        }

        await QemuTool.CheckAsync(Image);
    }

    [Test]
    public async Task Compressed_clusters_are_shared_with_a_snapshot()
    {
        string source = Path.Combine(_directory.Path, "source");
        byte[] data = new byte[SizeBytes];
        data.AsSpan(1000, 2 << 20).Fill(9);
        await File.WriteAllBytesAsync(source, data);
        await QemuTool.RunAsync("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4096", source, Image);
        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            await image.Node.CreateSnapshotAsync("compressed", s_now);
            await image.Node.WriteAsync(0, Filled(1).AsMemory(0, 1 << 20));
        }

        await QemuTool.CheckAsync(Image);
        await CompareAsync("compressed", data);
        await using (OpenImage image = await ImageFiles.OpenAsync(Image))
        {
            await image.Node.DeleteSnapshotAsync("1", "compressed");
        }

        await QemuTool.CheckAsync(Image);
    }

    private static byte[] Filled(int seed)
    {
        byte[] data = new byte[SizeBytes];
        new Random(seed).NextBytes(data);
        return data;
    }

    private static async Task<byte[]> ReadAllAsync(Qcow2Node node)
    {
        byte[] all = new byte[node.SizeBytes];
        await node.ReadAsync(0, all);
        return all;
    }

    private async Task CompareAsync(string snapshot, byte[] expected)
    {
        string shown = Path.Combine(_directory.Path, "shown");
        await QemuTool.RunAsync("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-l", $"snapshot.name={snapshot}", Image, shown);
        Assert.That((await File.ReadAllBytesAsync(shown)).AsSpan().SequenceEqual(expected), snapshot);
    }
}
