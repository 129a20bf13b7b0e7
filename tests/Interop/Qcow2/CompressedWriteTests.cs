using Monitor.Block;
using Monitor.Qapi;
using NUnit.Framework;

namespace Interop.Qcow2;

/// <summary>Compressed clusters that we write, as the real tools see them.</summary>
public sealed class CompressedWriteTests
{
    private string _directory = "";

    [SetUp]
    public void MakeDirectory() => _directory = Directory.CreateTempSubdirectory("compressed").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(_directory, recursive: true);

    [TestCase(Qcow2CompressionType.Zlib, 65536, 16)]
    [TestCase(Qcow2CompressionType.Zstd, 65536, 16)]
    [TestCase(Qcow2CompressionType.Zlib, 512, 16)]
    [TestCase(Qcow2CompressionType.Zlib, 65536, 1)]
    [TestCase(Qcow2CompressionType.Zstd, 4096, 2)]
    [TestCase(Qcow2CompressionType.Zlib, 2097152, 64)]
    public async Task They_are_sound_packed_and_the_same_to_the_real_tools(Qcow2CompressionType type, int clusterBytes, int refcountBits)
    {
        int size = (8 << 20) - 512;
        string image = Path.Combine(_directory, "image");
        await ImageFiles.CreateAsync(image, new BlockdevCreateOptionsQcow2
        {
            File = null!,
            Size = (ulong)size,
            ClusterSize = (ulong)clusterBytes,
            RefcountBits = refcountBits,
            CompressionType = type,
        });
        byte[] twin = Content(size, clusterBytes);
        await using (OpenImage open = await ImageFiles.OpenAsync(image))
        {
            for (int at = 0; at < size; at += 4 << 20)
            {
                await open.Node.WriteAsync(at, twin.AsMemory(at, Math.Min(size - at, 4 << 20)), BlockWriteFlags.Compressed);
            }
        }

        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
        if (refcountBits >= 16 && clusterBytes == 65536)
        {
            Assert.That(new FileInfo(image).Length, Is.LessThan(size * 3 / 4));
        }

        await using (OpenImage open = await ImageFiles.OpenAsync(image))
        {
            twin.AsSpan(100_000, 300_000).Fill(9);
            await open.Node.WriteAsync(100_000, twin.AsMemory(100_000, 300_000));
            Array.Clear(twin, clusterBytes, 2 * clusterBytes);
            await open.Node.DiscardAsync(clusterBytes, 2 * clusterBytes);
            await open.Node.FlushAsync();
            await open.Node.WriteAsync(clusterBytes, twin.AsMemory(clusterBytes, 2 * clusterBytes), BlockWriteFlags.Compressed);
        }

        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    [Test]
    public async Task They_go_on_in_an_image_that_the_real_tool_began()
    {
        string image = Path.Combine(_directory, "image");
        await QemuTool.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", image, "1M");
        await QemuTool.RunAsync("qemu-io", "-c", "write -c -P 1 0 64k", "-c", "write -c -P 2 64k 64k", image);
        byte[] twin = new byte[1 << 20];
        twin.AsSpan(0, 65536).Fill(1);
        twin.AsSpan(65536, 65536).Fill(2);
        twin.AsSpan(131072, 65536).Fill(3);
        await using (OpenImage open = await ImageFiles.OpenAsync(image))
        {
            await open.Node.WriteAsync(131072, twin.AsMemory(131072, 65536), BlockWriteFlags.Compressed);
            BlockIoException? refusal = await Assert.ThrowsAsync<BlockIoException>(
                async () => await open.Node.WriteAsync(65536, twin.AsMemory(65536, 65536), BlockWriteFlags.Compressed));
            Assert.That(refusal!.Errno, Is.EqualTo(Errno.EIO));
        }

        await QemuTool.RunAsync("qemu-io", "-c", "write -c -P 4 192k 64k", image);
        twin.AsSpan(196608, 65536).Fill(4);
        await QemuTool.CheckAsync(image);
        await CompareAsync(image, twin);
    }

    /// <summary>Clusters of every kind: of one byte, of random bytes, of random bytes up to some place.</summary>
    private static byte[] Content(int size, int clusterBytes)
    {
        var random = new Random(clusterBytes);
        byte[] content = new byte[size];
        for (int at = 0; at < size; at += clusterBytes)
        {
            Span<byte> cluster = content.AsSpan(at, Math.Min(clusterBytes, size - at));
            cluster.Fill((byte)random.Next(256));
            int noise = random.Next(4) switch { 0 => cluster.Length, 1 => random.Next(cluster.Length), _ => 0 };
            random.NextBytes(cluster[..noise]);
        }

        return content;
    }

    private async Task CompareAsync(string image, byte[] twin)
    {
        string raw = Path.Combine(_directory, "twin");
        await File.WriteAllBytesAsync(raw, twin);
        await QemuTool.CompareAsync(image, "qcow2", raw, "raw");
    }
}
