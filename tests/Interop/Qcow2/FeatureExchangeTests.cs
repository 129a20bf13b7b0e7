using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop.Qcow2;

/// <summary>Images with extended L2 entries, with data files and made ahead: both sides write in turn, both sides read the same.</summary>
public sealed class FeatureExchangeTests
{
    private const int Size = (3 << 20) - 1536;

    private string _directory = "";

    [SetUp]
    public void MakeDirectory() => _directory = Directory.CreateTempSubdirectory("features").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(_directory, recursive: true);

    [TestCase("extended_l2=on,cluster_size=64k", 0)]
    [TestCase("extended_l2=on,cluster_size=16k", 0)]
    [TestCase("extended_l2=on,cluster_size=2M,refcount_bits=1", 0)]
    [TestCase("extended_l2=on,cluster_size=128k", 2_000_000)]
    [TestCase("extended_l2=on,preallocation=metadata", 3_000_000)]
    [TestCase("extended_l2=on,compression_type=zstd", 4_000_000)]
    [TestCase("data_file=$DIR/data", 0)]
    [TestCase("data_file=$DIR/data,extended_l2=on", 2_000_000)]
    [TestCase("data_file=$DIR/data,data_file_raw=on", 0)]
    [TestCase("preallocation=falloc", 0)]
    public async Task Both_sides_write_in_turn(string options, int backingBytes)
    {
        string image = Path.Combine(_directory, "image");
        byte[] twin = new byte[Size];
        List<string> create = ["create", "-q", "-f", "qcow2", "-o", options.Replace("$DIR", _directory, StringComparison.Ordinal)];
        if (backingBytes > 0)
        {
            create.AddRange(["-b", MakeBacking(backingBytes, twin), "-F", "raw"]);
        }

        await QemuTool.RunAsync("qemu-img", [.. create, image, $"{Size}"]);
        await TakeTurnsAsync(image, twin, backingBytes, new Random(backingBytes + options.Length));
    }

    [TestCase(false, false, 65536, PreallocMode.Off, 0)]
    [TestCase(true, false, 65536, PreallocMode.Off, 2_000_000)]
    [TestCase(true, false, 16384, PreallocMode.Metadata, 4_000_000)]
    [TestCase(true, true, 32768, PreallocMode.Off, 0)]
    [TestCase(false, true, 65536, PreallocMode.Falloc, 0)]
    [TestCase(false, false, 4096, PreallocMode.Metadata, 0)]
    [TestCase(false, false, 65536, PreallocMode.Full, 0)]
    public async Task What_we_make_serves_both_sides(bool extended, bool hasDataFile, int clusterBytes, PreallocMode preallocation, int backingBytes)
    {
        string image = Path.Combine(_directory, "image");
        byte[] twin = new byte[Size];
        FileNode? dataFile = hasDataFile ? await MakeDataFileAsync() : null;
        await ImageFiles.CreateAsync(
            image,
            new BlockdevCreateOptionsQcow2
            {
                File = null!,
                Size = Size,
                ClusterSize = (ulong)clusterBytes,
                ExtendedL2 = extended,
                Preallocation = preallocation,
                DataFileRaw = hasDataFile && !extended,
                BackingFile = backingBytes > 0 ? MakeBacking(backingBytes, twin) : null,
                BackingFmt = backingBytes > 0 ? BlockdevDriver.Raw : null,
            },
            dataFile);
        await (dataFile?.CloseAsync() ?? default);
        await QemuTool.CheckAsync(image);
        await TakeTurnsAsync(image, twin, backingBytes, new Random(clusterBytes + backingBytes));
    }

    private async Task TakeTurnsAsync(string image, byte[] twin, int backingBytes, Random random)
    {
        for (int turn = 0; turn < 3; turn++)
        {
            await CompareAsync(image, twin);
            await UseAsync(image, twin, backingBytes, random);
            await QemuTool.CheckAsync(image);
            await CompareAsync(image, twin);
            await QemuTool.RunAsync("qemu-io", [.. TheirRequests(twin, random), image]);
        }

        await UseAsync(image, twin, backingBytes, random);
        await CompareAsync(image, twin);
        if (File.Exists(Path.Combine(_directory, "data")) && (await QemuTool.RunAsync("qemu-img", "info", image)).Contains("data file raw: true"))
        {
            Assert.That((await File.ReadAllBytesAsync(Path.Combine(_directory, "data"))).AsSpan(0, Size).SequenceEqual(twin));
        }
    }

    private static IEnumerable<string> TheirRequests(byte[] twin, Random random)
    {
        for (int i = 0; i < 30; i++)
        {
            int offset = 512 * random.Next(Size / 512);
            int length = Math.Min(Size - offset, 512 * random.Next(1, 300));
            byte pattern = (byte)random.Next(256);
            bool zero = random.Next(4) == 0;
            twin.AsSpan(offset, length).Fill(zero ? (byte)0 : pattern);
            yield return "-c";
            yield return zero ? $"write -z {(random.Next(2) == 0 ? "-u " : "")}{offset} {length}" : $"write -P {pattern} {offset} {length}";
        }
    }

    private async Task UseAsync(string image, byte[] twin, int backingBytes, Random random)
    {
        string data = Path.Combine(_directory, "data");
        FileNode? dataFile = File.Exists(data) ? await ImageFiles.OpenFileAsync(data) : null;
        FileNode? backing = backingBytes > 0 ? await ImageFiles.OpenFileAsync(Path.Combine(_directory, "backing")) : null;
        await using (OpenImage open = await ImageFiles.OpenAsync(image, null, backing, dataFile: dataFile))
        {
            byte[] all = new byte[Size];
            await open.Node.ReadAsync(0, all);
            Assert.That(all.AsSpan().CommonPrefixLength(twin), Is.EqualTo(Size));
            for (int i = 0; i < 60; i++)
            {
                int offset = random.Next(Size);
                int length = Math.Min(Size - offset, random.Next(1, 150_000));
                await RequestAsync(open.Node, twin, random, offset, length);
            }
        }

        await (dataFile?.CloseAsync() ?? default);
        await (backing?.CloseAsync() ?? default);
    }

    private static async Task RequestAsync(BlockNode node, byte[] twin, Random random, int offset, int length)
    {
        switch (random.Next(8))
        {
            case < 5:
                random.NextBytes(twin.AsSpan(offset, length));
                await node.WriteAsync(offset, twin.AsMemory(offset, length));
                break;
            case 5 or 6:
                twin.AsSpan(offset, length).Clear();
                await node.WriteZeroesAsync(offset, length, random.Next(2) == 0 ? BlockWriteFlags.MayUnmap : BlockWriteFlags.None);
                break;
            default:
                int cluster = node.ClusterSizeBytes;
                int from = (offset + cluster - 1) / cluster * cluster;
                int to = Math.Max(from, offset + length == Size ? Size : (offset + length) / cluster * cluster);
                if (to > from)
                {
                    twin.AsSpan(from, to - from).Clear();
                    await node.DiscardAsync(from, to - from);
                }

                break;
        }
    }

    private async Task<FileNode> MakeDataFileAsync()
    {
        await File.WriteAllBytesAsync(Path.Combine(_directory, "data"), []);
        return await ImageFiles.OpenFileAsync(Path.Combine(_directory, "data"));
    }

    private string MakeBacking(int bytes, byte[] twin)
    {
        byte[] content = new byte[(bytes + 511) & ~511];
        new Random(bytes).NextBytes(content);
        content.AsSpan(0, Math.Min(content.Length, twin.Length)).CopyTo(twin);
        string path = Path.Combine(_directory, "backing");
        File.WriteAllBytes(path, content);
        return path;
    }

    private async Task CompareAsync(string image, byte[] twin)
    {
        string raw = Path.Combine(_directory, "twin");
        await File.WriteAllBytesAsync(raw, twin);
        await QemuTool.CompareAsync(image, "qcow2", raw, "raw");
    }
}
