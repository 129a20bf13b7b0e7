using System.Buffers.Binary;
using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>The on-disk structures, and the texts that refuse unsound images.</summary>
public sealed class Qcow2FormatTests
{
    [Test]
    public void Headers_read_back_as_written([Values(2u, 3u)] uint version)
    {
        byte[] bytes = new byte[512];
        new Random(7).NextBytes(bytes.AsSpan(4, 108));
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Qcow2Format.Magic);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), version);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(100), 112);
        byte[] copy = [.. bytes];
        copy.AsSpan(0, version == 2 ? 72 : 105).Clear();
        Qcow2Header.Read(bytes).Write(copy);
        Assert.That(copy, Is.EqualTo(bytes));
    }

    [Test]
    public void Refcounts_of_every_width_read_back_and_leave_their_neighbours_alone([Range(0, 6)] int order)
    {
        var width = new RefcountWidth(order);
        byte[] block = new byte[512];
        ulong[] twin = new ulong[width.EntriesIn(block.Length)];
        var random = new Random(order);
        for (int i = 0; i < 5000; i++)
        {
            int index = random.Next(twin.Length);
            twin[index] = (ulong)random.NextInt64() & width.Maximum;
            width.Write(block, index, twin[index]);
        }

        for (int i = 0; i < twin.Length; i++)
        {
            Assert.That(width.Read(block, i), Is.EqualTo(twin[i]));
            Assert.That(width.FindFree(block, i), Is.EqualTo(Array.IndexOf(twin, 0UL, i)));
        }
    }

    [TestCase(0x8000000000050000UL, L2EntryKind.Normal)]
    [TestCase(0x8000000000050001UL, L2EntryKind.ZeroAllocated)]
    [TestCase(1UL, L2EntryKind.ZeroPlain)]
    [TestCase(0UL, L2EntryKind.Unallocated)]
    [TestCase(0x4000000000050000UL, L2EntryKind.Compressed)]
    public void L2_entries_are_told_apart(ulong raw, object kind) => Assert.That(new L2Entry(raw).Kind, Is.EqualTo(kind));

    [Test]
    public void The_bitmaps_extension_never_straddles_a_sector([Range(0, 600, 8)] int otherBytes)
    {
        var header = new Qcow2Header { Version = 3, ClusterBits = 16, HeaderBytes = 112 };
        var cluster = new Qcow2HeaderCluster(header, [new Qcow2HeaderExtension(0x1234, new byte[otherBytes]), new Qcow2HeaderExtension(0x1235, new byte[16])], "b", new byte[65536]);
        byte[] marker = [.. Enumerable.Repeat((byte)0xAB, Qcow2BitmapExtension.Size)];
        cluster.Extensions.Add(new Qcow2HeaderExtension(Qcow2BitmapExtension.Magic, marker));
        int at = cluster.ToBytes().AsSpan().IndexOf(marker);
        Assert.That(at / 512, Is.EqualTo((at + marker.Length - 1) / 512));
    }

    [TestCase(0, 0x61626364u, "Image is not in qcow2 format")]
    [TestCase(4, 9u, "Unsupported qcow2 version 9")]
    [TestCase(20, 5u, "Unsupported cluster size: 2^5")]
    [TestCase(20, 22u, "Unsupported cluster size: 2^22")]
    [TestCase(100, 20u, "qcow2 header too short")]
    [TestCase(100, 70000u, "qcow2 header exceeds cluster size")]
    [TestCase(100, 108u, "Header extension too large")]
    [TestCase(72, 0x3FC0u, "Unsupported qcow2 feature(s): Unknown incompatible feature: 3fc000000000")]
    [TestCase(76, 2u, "qcow2: Image is corrupt; cannot be opened read/write")]
    [TestCase(76, 8u, "qcow2: Compression type incompatible feature bit must not be set")]
    [TestCase(32, 7u, "Unsupported encryption method 7")]
    [TestCase(96, 7u, "Reference count entry width too large; may not exceed 64 bits")]
    [TestCase(12, 0x10001u, "Invalid backing file offset")]
    [TestCase(52, 0x10001u, "Reference count table offset invalid")]
    [TestCase(56, 0u, "Image does not contain a reference count table")]
    [TestCase(56, 0x10000u, "Reference count table too large")]
    [TestCase(36, 0x7FFFFFFFu, "Active L1 table too large")]
    [TestCase(36, 0u, "L1 table is too small")]
    [TestCase(44, 0x30001u, "Active L1 table offset invalid")]
    [TestCase(60, 0x7FFFFFFFu, "Snapshot table too large")]
    [TestCase(24, 0x40000000u, "Image is too big")]
    [TestCase(104, 0x05000000u, "qcow2: unknown compression type: 5")]
    [TestCase(104, 0x01000000u, "qcow2: Compression type incompatible feature bit must be set")]
    public async Task Unsound_images_are_refused_by_name(int offset, uint value, string text)
    {
        StorageContent content = await TestImage.CreateAsync(64 << 20);
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        content.Write(offset, bytes);
        Assert.That(async () => await TestImage.OpenAsync(new StorageNode(content)), Throws.TypeOf<QmpException>().With.Message.EqualTo(text));
    }

    [TestCase(512, 16)]
    [TestCase(4096, 1)]
    [TestCase(65536, 64)]
    public async Task A_writable_open_of_a_dirty_image_rebuilds_its_refcounts(int clusterBytes, int refcountBits)
    {
        var storage = new StorageNode(await TestImage.CreateAsync(clusterBytes * 300L, clusterBytes, refcountBits));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] data = new byte[clusterBytes * 120];
        new Random(1).NextBytes(data);
        await node.WriteAsync(clusterBytes * 7, data);
        await node.CloseAsync();
        byte[] entry = new byte[8];
        storage.Content.Read(clusterBytes, entry);
        storage.Content.Write(BinaryPrimitives.ReadInt64BigEndian(entry) + (refcountBits == 1 ? 1 : refcountBits), new byte[clusterBytes / 2]);
        storage.Content.Write(79, [1]);
        Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Not.Empty);

        node = await TestImage.OpenAsync(storage);
        await node.WriteAsync(clusterBytes * 150, data);
        byte[] read = new byte[data.Length];
        await node.ReadAsync(clusterBytes * 7, read);
        await node.CloseAsync();
        ImageChecker check = ImageChecker.Check(storage.Bytes);
        Assert.That(read, Is.EqualTo(data));
        Assert.That(check.Corruptions, Is.Empty);
        Assert.That(check.Leaks, Is.Zero);
        Assert.That(storage.Bytes[79], Is.Zero);
    }

    [Test]
    public async Task Unknown_autoclear_bits_are_cleared_and_unknown_extensions_kept_by_a_writable_open()
    {
        StorageContent content = await TestImage.CreateAsync(64 << 20);
        content.Write(88, [0x80, 0, 0, 0, 0, 0, 0, 0]);
        byte[] cluster = new byte[65536];
        content.Read(0, cluster);
        int end = 112 + 8 + (int)BinaryPrimitives.ReadUInt32BigEndian(cluster.AsSpan(116));
        content.Write(end, [0x12, 0x34, 0x56, 0x78, 0, 0, 0, 5, .. Encoding.ASCII.GetBytes("hello")]);
        var storage = new StorageNode(content);
        Qcow2Node node = await TestImage.OpenAsync(storage);
        await node.CloseAsync();
        content.Read(0, cluster);
        Assert.That(cluster[88], Is.Zero);
        Assert.That(Encoding.ASCII.GetString(cluster, end + 8, 5), Is.EqualTo("hello"));
    }
}
