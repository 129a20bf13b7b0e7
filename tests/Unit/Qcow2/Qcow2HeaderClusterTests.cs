using System.Buffers.Binary;
using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>The first cluster loses power at every write and flush while the bitmaps extension comes, changes and goes.</summary>
public sealed class Qcow2HeaderClusterTests
{
    private const int UnknownType = 0x1234;

    [Test]
    public async Task Whenever_power_fails_the_header_keeps_its_name_and_its_extensions(
        [Range(0, 560, 8)] int unknownBytes, [Values(0, 5, 700)] int nameBytes, [Values(512, 1024, 4096)] int clusterBytes)
    {
        string? name = nameBytes == 0 ? null : new string('n', nameBytes);
        if (112 + 8 + unknownBytes + 8 + nameBytes > clusterBytes)
        {
            return;
        }

        byte[] image = Build(unknownBytes, name, clusterBytes);
        var random = new Random(unknownBytes + nameBytes + clusterBytes);
        bool finished = false;
        for (int step = 0; !finished; step++)
        {
            var storage = new StorageNode(StorageContent.From(image)) { StopsAt = step };
            var allowed = new List<Qcow2BitmapExtension?> { null };
            finished = await LiveAsync(storage, name, allowed);
            byte[] left = storage.AfterPowerFailure(random).ToArray();
            Check(left, unknownBytes, name, allowed, $"power failed at operation {step}, seed {unknownBytes + nameBytes + clusterBytes}");
        }
    }

    [Test]
    public async Task In_an_image_made_here_nothing_moves_when_bitmaps_come(
        [Values(4096, 65536)] int clusterBytes, [Values("b", "a somewhat longer name of a backing file")] string name)
    {
        byte[] made = (await TestImage.CreateAsync(1 << 20, clusterBytes, backingFile: name)).ToArray();
        var storage = new StorageNode(StorageContent.From(made));
        await LiveAsync(storage, name, [], stopAfterFirst: true);
        byte[] bytes = storage.Bytes;
        Assert.That(Enumerable.Range(0, clusterBytes).Where(i => bytes[i] != made[i] && made[i] != 0), Is.Empty);
        Assert.That(Qcow2Header.Read(bytes).BackingFileOffset, Is.EqualTo(Qcow2Header.Read(made).BackingFileOffset));
    }

    /// <summary>As qemu-img lays it out: the name right behind the extensions.</summary>
    private static byte[] Build(int unknownBytes, string? name, int clusterBytes)
    {
        byte[] bytes = new byte[clusterBytes];
        var header = new Qcow2Header { Version = 3, ClusterBits = (uint)int.Log2(clusterBytes), HeaderBytes = 112 };
        byte[] unknown = [.. Enumerable.Repeat((byte)0x55, unknownBytes)];
        new Qcow2HeaderExtension(UnknownType, unknown).Write(bytes.AsSpan(112));
        if (name is not null)
        {
            (header.BackingFileOffset, header.BackingFileBytes) = ((ulong)(112 + 8 + unknownBytes + 8), (uint)name.Length);
            Encoding.UTF8.GetBytes(name).CopyTo(bytes, (int)header.BackingFileOffset);
        }

        header.Write(bytes);
        return bytes;
    }

    /// <summary>Adds the extension, changes it, removes it; what a crash may leave is in <paramref name="allowed"/>.</summary>
    private static async Task<bool> LiveAsync(StorageNode storage, string? name, List<Qcow2BitmapExtension?> allowed, bool stopAfterFirst = false)
    {
        var parent = new StorageNode();
        var file = new ImageFile(new BlockChild(parent, storage, "file", BlockChildRole.Image));
        byte[] stored = storage.Bytes[..(1 << (int)Qcow2Header.Read(storage.Bytes).ClusterBits)];
        var cluster = new Qcow2HeaderCluster(Qcow2Header.Read(stored), Extensions(stored), name, stored);
        Qcow2BitmapExtension?[] life = [new(1, 24, 0x10000), new(2, 48, 0x20000), null, new(3, 72, 0x30000)];
        foreach (Qcow2BitmapExtension? next in stopAfterFirst ? life[..1] : life)
        {
            allowed.Add(next);
            byte[]? data = next is null ? null : new byte[Qcow2BitmapExtension.Size];
            next?.Write(data);
            cluster.Set(Qcow2BitmapExtension.Magic, data);
            try
            {
                await cluster.WriteAsync(file);
                await file.FlushAsync();
            }
            catch (BlockIoException e) when (e.Errno == Errno.ENOSPC)
            {
                return true;
            }
            catch (BlockIoException)
            {
                return false;
            }

            allowed.RemoveRange(0, allowed.Count - 1);
        }

        return true;
    }

    private static void Check(byte[] left, int unknownBytes, string? name, List<Qcow2BitmapExtension?> allowed, string when)
    {
        var header = Qcow2Header.Read(left);
        List<Qcow2HeaderExtension> extensions = Extensions(left);
        extensions.RemoveAll(e => e.Type == Qcow2HeaderExtension.Padding);
        Assert.That(BinaryPrimitives.ReadUInt32BigEndian(left), Is.EqualTo(Qcow2Format.Magic), when);
        Assert.That(Encoding.UTF8.GetString(left, (int)header.BackingFileOffset, (int)header.BackingFileBytes), Is.EqualTo(name ?? ""), when);
        Assert.That(extensions[0].Type, Is.EqualTo(UnknownType), when);
        Assert.That(extensions[0].Data.Length == unknownBytes && extensions[0].Data.All(b => b == 0x55), Is.True, when);
        Qcow2BitmapExtension? found = null;
        if (extensions.Count > 1)
        {
            Assert.That((extensions.Count, extensions[1].Type), Is.EqualTo((2, Qcow2BitmapExtension.Magic)), when);
            Qcow2BitmapExtension.TryRead(extensions[1].Data, out Qcow2BitmapExtension read);
            found = read.Count == 0 ? null : read;
        }

        Assert.That(allowed, Does.Contain(found), when);
    }

    private static List<Qcow2HeaderExtension> Extensions(byte[] cluster)
    {
        var header = Qcow2Header.Read(cluster);
        int end = header.BackingFileOffset != 0 ? (int)header.BackingFileOffset : header.ClusterBytes;
        return Qcow2HeaderExtension.ReadAll(cluster.AsSpan((int)header.HeaderBytes..end));
    }
}
