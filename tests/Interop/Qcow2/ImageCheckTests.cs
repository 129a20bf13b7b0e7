using System.Text.Json.Nodes;
using Monitor.Block.Drivers.Qcow2;
using NUnit.Framework;
using Testing;

namespace Interop.Qcow2;

/// <summary>Checks and repairs of broken images beside <c>qemu-img check</c>: the same findings, and the same disk afterwards.</summary>
public sealed class ImageCheckTests
{
    private TemporaryDirectory _directory = null!;

    private string Image => Path.Combine(_directory.Path, "image");

    private string Copy => Path.Combine(_directory.Path, "copy");

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void RemoveDirectory() => _directory.Dispose();

    /// <summary>The tool loses the snapshots of an image with bitmaps when it repairs it, so a repair is compared on images with either.</summary>
    [TestCase("cluster_size=512", true, false)]
    [TestCase("cluster_size=4096,lazy_refcounts=on", false, true)]
    [TestCase("cluster_size=4096,compat=0.10", true, false)]
    [TestCase("cluster_size=64k", true, true)]
    [TestCase("cluster_size=16k,extended_l2=on", true, false)]
    public async Task Findings_and_repairs_are_those_of_the_real_tool(string options, bool hasSnapshot, bool hasBitmap)
    {
        byte[] whole = await MakeAsync(options, hasSnapshot, hasBitmap);
        for (int seed = 1; seed <= 25; seed++)
        {
            byte[] broken = [.. whole];
            var random = new Random(seed);
            var damage = new BrokenImage(broken, random);
            string name = $"{options}, seed {seed}: " + string.Join("; ", Enumerable.Range(0, random.Next(1, 4)).Select(_ => damage.Damage()));
            await File.WriteAllBytesAsync(Image, broken);
            await File.WriteAllBytesAsync(Copy, broken);
            Compare(await CheckAsync(ImageCheckFix.None), (await QemuCheckAsync())!, name);
            ImageCheckFix fix = seed % 2 == 0 ? ImageCheckFix.Leaks : ImageCheckFix.All;
            ImageCheckFindings ours = await CheckAsync(fix);
            if (!(hasSnapshot && hasBitmap))
            {
                await CompareRepairAsync(ours, fix, name);
            }

            Compare(await CheckAsync(ImageCheckFix.None), (await QemuCheckAsync())!, name);
        }
    }

    /// <summary>Repairs the copy with the real tool.</summary>
    private async Task CompareRepairAsync(ImageCheckFindings ours, ImageCheckFix fix, string name)
    {
        JsonNode? theirs = await QemuCheckAsync("-r", fix == ImageCheckFix.All ? "all" : "leaks", Copy);
        if (theirs is null)
        {
            Assert.That((ours.LeaksFixed, ours.CorruptionsFixed), Is.EqualTo((0, 0)), name);
            return;
        }

        Assert.That(
            (ours.LeaksFixed, ours.CorruptionsFixed, ours.Leaks, ours.Corruptions),
            Is.EqualTo((Number(theirs, "leaks-fixed"), Number(theirs, "corruptions-fixed"), Number(theirs, "leaks"), Number(theirs, "corruptions"))),
            name + string.Join('\n', ours.Messages));
        string same = $"qemu-img compare -q -f qcow2 -F qcow2 '{Copy}' '{Copy}' 2>/dev/null && echo readable; true";
        if (ours.Corruptions == 0 && (await QemuTool.RunAsync("sh", "-c", same)).Length > 0)
        {
            await QemuTool.CompareAsync(Image, "qcow2", Copy, "qcow2");
        }
    }

    private static void Compare(ImageCheckFindings ours, JsonNode theirs, string name) => Assert.That(
        (ours.Corruptions, ours.Leaks, ours.CheckErrors, ours.TotalClusters, ours.AllocatedClusters, ours.FragmentedClusters, ours.CompressedClusters, ours.ImageEndOffset),
        Is.EqualTo((
            Number(theirs, "corruptions"), Number(theirs, "leaks"), Number(theirs, "check-errors"), Number(theirs, "total-clusters"),
            Number(theirs, "allocated-clusters"), Number(theirs, "fragmented-clusters"), Number(theirs, "compressed-clusters"), Number(theirs, "image-end-offset"))),
        () => $"{name}\n{theirs}\n{string.Join('\n', ours.Messages)}");

    private static long Number(JsonNode node, string member) => (long?)node[member] ?? 0;

    private async Task<ImageCheckFindings> CheckAsync(ImageCheckFix fix)
    {
        await using OpenImage image = await ImageFiles.OpenAsync(Image, readOnly: fix == ImageCheckFix.None);
        if (!await image.Node.TryCheckAsync(fix))
        {
            await image.Node.RepairAsync(fix);
        }

        return image.Node.LastCheck!.Value.Findings;
    }

    /// <summary>What the tool finds; null if it gives up.</summary>
    private async Task<JsonNode?> QemuCheckAsync(params string[] arguments)
    {
        string[] command = ["-c", "qemu-img check -f qcow2 --output=json \"$@\" 2>/dev/null; true", "sh", .. arguments.Length > 0 ? arguments : [Image]];
        string output = await QemuTool.RunAsync("sh", command);
        return output.Length > 0 ? JsonNode.Parse(output) : null;
    }

    /// <summary>An image with data, compressed clusters, snapshots, and where it can be bitmaps.</summary>
    private async Task<byte[]> MakeAsync(string options, bool hasSnapshot, bool hasBitmap)
    {
        string source = Path.Combine(_directory.Path, "source");
        byte[] data = new byte[1 << 20];
        new Random(5).NextBytes(data.AsSpan(300_000, 100_000));
        data.AsSpan(500_000, 200_000).Fill(4);
        await File.WriteAllBytesAsync(source, data);
        await QemuTool.RunAsync("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, source, Image);
        await QemuTool.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 200k", "-c", "write -P 2 900k 100k", Image);
        if (hasSnapshot)
        {
            await QemuTool.RunAsync("qemu-img", "snapshot", "-c", "a", Image);
        }

        await QemuTool.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 3 50k 100k", "-c", "write -z 300k 64k", "-c", "discard 0 64k", Image);
        if (hasBitmap)
        {
            await QemuTool.RunAsync("qemu-img", "bitmap", "--add", Image, "dirty");
            await QemuTool.RunAsync("qemu-io", "-f", "qcow2", "-c", "write -P 3 50k 1k", Image);
        }

        await QemuTool.CheckAsync(Image);
        return await File.ReadAllBytesAsync(Image);
    }
}
