using System.Buffers.Binary;
using System.IO.Compression;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Small files that claim much: opening, reading and checking them takes little memory.</summary>
public sealed class HostileImageTests
{
    private const int ClusterBytes = 2 << 20;
    private const long MostBytes = 256 << 20;

    private TemporaryDirectory _directory = null!;

    [SetUp]
    public void MakeDirectory() => _directory = new TemporaryDirectory();

    [TearDown]
    public void RemoveDirectory() => _directory.Dispose();

    [TestCase(false)]
    [TestCase(true)]
    public async Task An_image_of_an_exbibyte_costs_little(bool readOnly)
    {
        byte[] image = Header(size: 1UL << 60, l1Entries: 1 << 21);
        Assert.That(await PeakAsync(image, readOnly, "read 0 64k", "read 1E 64k", "write 512P 64k"), Is.LessThan(MostBytes));
    }

    /// <summary>Every cluster of the first table is the same two kilobytes, which become two megabytes of zeroes.</summary>
    [Test]
    public async Task A_compressed_bomb_costs_little()
    {
        byte[] image = Header(size: 256UL << 30, l1Entries: 1);
        Put(image, 3 * ClusterBytes, 4L * ClusterBytes | (1L << 63));
        byte[] packed = Pack(new byte[ClusterBytes]);
        packed.CopyTo(image, 5 * ClusterBytes);
        long sectors = (packed.Length - 1) / 512;
        for (int i = 0; i < 131072; i++)
        {
            Put(image, (4 * ClusterBytes) + (i * 8), (1L << 62) | (sectors << 49) | (5L * ClusterBytes));
        }

        long peak = await PeakAsync(image, readOnly: true, [.. Enumerable.Range(0, 20).Select(i => $"read {i * 700}M 16M")]);
        Assert.That(peak, Is.LessThan(MostBytes));
    }

    /// <summary>An image of six clusters: header, refcount table, refcount block, L1 table, two for more.</summary>
    private static byte[] Header(ulong size, int l1Entries)
    {
        byte[] image = new byte[6 * ClusterBytes];
        BinaryPrimitives.WriteUInt32BigEndian(image, 0x514649FB);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(4), 3);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(20), 21);
        BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan(24), size);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(36), l1Entries);
        Put(image, 40, 3 * ClusterBytes);
        Put(image, 48, ClusterBytes);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(56), 1);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(96), 4);
        BinaryPrimitives.WriteInt32BigEndian(image.AsSpan(100), 104);
        Put(image, ClusterBytes, 2 * ClusterBytes);
        for (int cluster = 0; cluster < 6; cluster++)
        {
            image[(2 * ClusterBytes) + (cluster * 2) + 1] = 1;
        }

        return image;
    }

    private static void Put(byte[] image, int offset, long value) => BinaryPrimitives.WriteInt64BigEndian(image.AsSpan(offset), value);

    private static byte[] Pack(byte[] plain)
    {
        using var packed = new MemoryStream();
        using (var deflate = new DeflateStream(packed, CompressionLevel.SmallestSize))
        {
            deflate.Write(plain);
        }

        return packed.ToArray();
    }

    /// <summary>The most memory that a daemon had resident which opened, used, checked and closed an image.</summary>
    private async Task<long> PeakAsync(byte[] image, bool readOnly, params string[] requests)
    {
        await File.WriteAllBytesAsync(_directory.File("image"), image);
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-add", new JsonObject
        {
            ["driver"] = "qcow2",
            ["node-name"] = "q",
            ["read-only"] = readOnly,
            ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = _directory.File("image") },
        });
        foreach (string request in requests)
        {
            JsonNode said = await qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io q \"{request}\"" });
            TestContext.Out.WriteLine($"{request}: {said}");
        }

        await qmp.ExecuteAsync("x-blockdev-check", """{"job-id": "check", "node-name": "q"}""");
        await qmp.WaitJobAsync("check", "concluded");
        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "q"}""");
        string status = await File.ReadAllTextAsync($"/proc/{daemon.Id}/status");
        string peak = status.Split('\n').First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        TestContext.Out.WriteLine(peak);
        return long.Parse(peak.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], System.Globalization.CultureInfo.InvariantCulture) * 1024;
    }
}
