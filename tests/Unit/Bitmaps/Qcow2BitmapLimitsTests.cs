using System.Buffers.Binary;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Bitmaps;

/// <summary>The format's limits, at their edge.</summary>
public sealed class Qcow2BitmapLimitsTests
{
    private const long Size = 1 << 20;

    [Test]
    public void The_65535th_bitmap_fits_and_one_more_does_not()
    {
        NodeBitmaps node = WithNames(65534, i => $"b{i}");
        node.Add("last", 65536, persistent: true);
        Assert.That(
            () => node.Add("more", 65536, persistent: true),
            Throws.TypeOf<QmpException>().With.Message
                .EqualTo("Can't make bitmap 'more' persistent in 'q': Maximum number of persistent bitmaps is already reached"));
        node.Add("memory", 65536);
    }

    [Test]
    public void Names_that_fill_the_directory_are_refused_before_their_number_is()
    {
        const int fitting = (int)(65535L * 1024 / 1048);
        NodeBitmaps node = WithNames(fitting, i => $"{i}".PadRight(1023, 'x'));
        Assert.That(
            () => node.Add(new string('y', 1023), 65536, persistent: true),
            Throws.TypeOf<QmpException>().With.Message.EndsWith("Not enough space in the bitmap directory"));
        node.Add("y", 65536, persistent: true);
    }

    [TestCase(0u, 32ul, 512ul, "found bitmaps extension with zero bitmaps")]
    [TestCase(65536u, 32ul, 512ul, "bitmaps_ext: Image has 65536 bitmaps, exceeding the QEMU supported maximum of 65535")]
    [TestCase(65535u, 67107841ul, 512ul, "bitmaps_ext: bitmap directory size (67107841) exceeds the maximum supported size (67107840)")]
    [TestCase(1u, 32ul, 513ul, "bitmaps_ext: invalid bitmap directory offset")]
    public void An_extension_over_a_limit_is_refused_before_the_directory_is_read(uint count, ulong size, ulong offset, string expected) =>
        Assert.That(
            () => Qcow2BitmapDirectory.CheckExtension(new Qcow2BitmapExtension(count, size, offset), new MemoryBitmapHost()),
            Throws.TypeOf<QmpException>().With.Message.EqualTo(expected));

    [Test]
    public void Two_entries_of_one_name_are_refused()
    {
        byte[] directory = [.. Entry("twin"), .. Entry("twin")];
        Assert.That(
            () => Qcow2BitmapDirectory.Read(directory, 2, new MemoryBitmapHost { VirtualSizeBytes = Size }),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Bitmap already exists: twin"));
    }

    [Test]
    public void A_table_larger_than_any_bitmap_is_refused_before_it_is_allocated()
    {
        byte[] directory = Entry("b");
        BinaryPrimitives.WriteUInt32BigEndian(directory.AsSpan(8), (512 << 20) / 512 + 1);
        Assert.That(
            () => Qcow2BitmapDirectory.Read(directory, 1, new MemoryBitmapHost { VirtualSizeBytes = Size }),
            Throws.TypeOf<QmpException>().With.Message.EqualTo("Bitmap 'b' doesn't satisfy the constraints"));
    }

    private static NodeBitmaps WithNames(int count, Func<int, string> name)
    {
        var node = new NodeBitmaps(Size, "q");
        node.Store = new Qcow2Bitmaps(new MemoryBitmapHost { VirtualSizeBytes = Size }, node);
        for (int i = 0; i < count; i++)
            node.AddStored(name(i), new HierarchicalBitmap(Size, 65536), enabled: true, readOnly: false, inconsistent: false);
        return node;
    }

    private static byte[] Entry(string name) => Qcow2BitmapDirectory.Write([new Qcow2BitmapDirectoryEntry
    {
        TableOffset = 512,
        TableSize = 1,
        Flags = Qcow2BitmapFlags.InUse,
        GranularityBits = 16,
        NameBytes = System.Text.Encoding.UTF8.GetBytes(name),
    }]);
}
