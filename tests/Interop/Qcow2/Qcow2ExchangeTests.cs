using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop.Qcow2;

/// <summary>Images exchanged with the real tools, both ways.</summary>
public sealed class Qcow2ExchangeTests
{
    private string _directory = "";

    [SetUp]
    public void MakeDirectory() => _directory = Directory.CreateTempSubdirectory("qcow2").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(_directory, recursive: true);

    [TestCase(512, 16)]
    [TestCase(4096, 1)]
    [TestCase(65536, 16)]
    [TestCase(65536, 64)]
    [TestCase(2097152, 4)]
    public async Task What_we_create_and_write_is_sound_and_the_same_to_the_real_tools(int clusterBytes, int refcountBits)
    {
        long size = 64L << 20;
        string image = InDirectory("ours.qcow2");
        await ImageFiles.CreateAsync(image, new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)size,
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = refcountBits,
        });
        await QemuTool.CheckAsync(image);

        byte[] twin = new byte[size];
        await UseAsync(image, new Random(clusterBytes), twin, 200);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
        await UseAsync(image, new Random(refcountBits), twin, 200);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    [TestCase("")]
    [TestCase("compat=0.10")]
    [TestCase("preallocation=metadata")]
    [TestCase("lazy_refcounts=on")]
    [TestCase("cluster_size=512,refcount_bits=2")]
    public async Task Images_of_the_real_tools_are_read_and_written(string options)
    {
        byte[] twin = await MakeSourceAsync();
        string image = InDirectory("theirs.qcow2");
        await QemuTool.RunAsync("qemu-img", [
            "convert", "-f", "raw", "-O", "qcow2", .. options.Length > 0 ? new[] { "-o", options } : [], InDirectory("source.raw"), image]);
        await UseAsync(image, new Random(1), twin, 200);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    [TestCase("zlib")]
    [TestCase("zstd")]
    public async Task Compressed_images_are_read_and_overwritten(string type)
    {
        byte[] twin = await MakeSourceAsync();
        string image = InDirectory("theirs.qcow2");
        await QemuTool.RunAsync(
            "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", $"compression_type={type}", InDirectory("source.raw"), image);
        await using (OpenImage open = await ImageFiles.OpenAsync(image))
        {
            byte[] all = new byte[open.Node.SizeBytes];
            await open.Node.ReadAsync(0, all);
            Assert.That(all.AsSpan().SequenceEqual(twin));
        }

        await UseAsync(image, new Random(2), twin, 100);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    [Test]
    public async Task Writing_leaves_internal_snapshots_as_they_were()
    {
        byte[] twin = await MakeSourceAsync();
        byte[] before = [.. twin];
        string image = InDirectory("theirs.qcow2");
        await QemuTool.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", InDirectory("source.raw"), image);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-c", "before", image);
        await UseAsync(image, new Random(3), twin, 200);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
        await QemuTool.RunAsync("qemu-img", "snapshot", "-a", "before", image);
        await CompareAsync(image, before);
        await QemuTool.CheckAsync(image);
    }

    [Test]
    public async Task A_longer_disk_is_zero_behind_its_old_end_and_sound()
    {
        byte[] twin = await MakeSourceAsync();
        string image = InDirectory("theirs.qcow2");
        await QemuTool.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", InDirectory("source.raw"), image);
        await using (OpenImage open = await ImageFiles.OpenAsync(image))
        {
            await open.Node.TruncateAsync(200 << 20);
        }

        await QemuTool.CheckAsync(image);
        await CompareAsync(image, [.. twin, .. new byte[(200 << 20) - twin.Length]]);
    }

    [Test]
    public async Task Persistent_bitmaps_are_listed_by_the_real_tools()
    {
        string image = InDirectory("ours.qcow2");
        await QemuTool.RunAsync("qemu-img", "create", "-f", "qcow2", image, "64M");
        await QemuTool.RunAsync("qemu-img", "bitmap", "--add", image, "theirs");
        await UseAsync(image, new Random(4), new byte[64 << 20], 20);
        await QemuTool.CheckAsync(image);
        string info = await QemuTool.RunAsync("qemu-img", "info", image);
        Assert.That(info, Does.Contain("name: theirs"));
        Assert.That(info, Does.Not.Contain("in-use"));
    }

    [Test]
    public async Task An_image_with_lazy_refcounts_that_was_not_closed_is_mended_by_our_open()
    {
        string image = InDirectory("theirs.qcow2");
        await QemuTool.RunAsync("qemu-img", "create", "-f", "qcow2", "-o", "lazy_refcounts=on", image, "8M");
        await QemuTool.RunAsync("sh", "-c", $"ulimit -c 0; qemu-io -c 'write -P 7 1M 2M' -c flush -c abort '{image}'; true");
        Assert.That(await QemuTool.RunAsync("sh", "-c", $"qemu-img check -f qcow2 '{image}'; true"), Does.Contain("ERROR"));
        byte[] twin = new byte[8 << 20];
        twin.AsSpan(1 << 20, 2 << 20).Fill(7);
        await UseAsync(image, new Random(5), twin, 50);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    private static async Task UseAsync(string path, Random random, byte[] twin, int requests)
    {
        await using OpenImage open = await ImageFiles.OpenAsync(path);
        Qcow2Node node = open.Node;
        for (int i = 0; i < requests; i++)
        {
            int offset = random.Next(twin.Length / 512) * 512;
            int length = Math.Min(twin.Length - offset, 512 * random.Next(1, 600));
            switch (random.Next(6))
            {
                case < 4:
                    random.NextBytes(twin.AsSpan(offset, length));
                    await node.WriteAsync(offset, twin.AsMemory(offset, length));
                    break;
                case 4:
                    twin.AsSpan(offset, length).Clear();
                    await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                    break;
                default:
                    await node.FlushAsync();
                    break;
            }
        }
    }

    private async Task<byte[]> MakeSourceAsync()
    {
        byte[] twin = new byte[8 << 20];
        var random = new Random(9);
        for (int at = 0; at < twin.Length; at += 300_000)
        {
            byte value = (byte)random.Next(256);
            twin.AsSpan(at, Math.Min(150_000, twin.Length - at)).Fill(value);
        }

        await File.WriteAllBytesAsync(InDirectory("source.raw"), twin);
        return twin;
    }

    private async Task CompareAsync(string image, byte[] twin)
    {
        await File.WriteAllBytesAsync(InDirectory("twin.raw"), twin);
        await QemuTool.CompareAsync(image, "qcow2", InDirectory("twin.raw"), "raw");
    }

    private string InDirectory(string name) => Path.Combine(_directory, name);
}
