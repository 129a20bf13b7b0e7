using System.Buffers.Binary;
using System.Text;
using Testing;
using static Conformance.MalformedImage;

namespace Conformance;

/// <summary>The table of malformed images.</summary>
internal static class MalformedImages
{
    private const uint BitmapsExtension = 0x23852875;
    private const uint CryptoExtension = 0x0537be77;
    private const uint BackingFormatExtension = 0xE2792ACA;
    private const uint FeatureNamesExtension = 0x6803f857;
    private const uint DataFileExtension = 0x44415441;

    /// <summary>The one whose data lies in the file <c>data</c>.</summary>
    public const string WithDataFile = "data-file";

    /// <summary>Makes the whole images, one file each.</summary>
    public static void MakeWholeImages(TemporaryDirectory directory) => Tool.Run("bash", "-ec", $"""
        cd {directory.Path}
        qemu-img create -q -f qcow2 plain 8M
        qemu-io -f qcow2 -c 'write -P 1 0 300k' plain >/dev/null
        qemu-img create -q -f qcow2 -o compat=0.10 v2 8M
        qemu-img create -q -f qcow2 snapshots 8M
        qemu-io -f qcow2 -c 'write -P 1 0 300k' snapshots >/dev/null
        qemu-img snapshot -c first snapshots
        qemu-img snapshot -c second snapshots
        qemu-img create -q -f qcow2 bitmaps 8M
        qemu-img bitmap --add bitmaps one
        qemu-img bitmap --add bitmaps two
        qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=16k extended 8M
        qemu-img create -q -f qcow2 -o data_file=data data-file 8M
        qemu-img create -q -f qcow2 -o compression_type=zstd zstd 8M
        qemu-img create -q -f raw below 8M
        qemu-img create -q -f qcow2 -b below -F raw backing 8M
        qemu-img create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=aes,encrypt.key-secret=s aes 1M
        """);

    public static IEnumerable<MalformedImage> All() =>
        [.. Headers(), .. Tables(), .. Features(), .. HeaderExtensions(), .. Snapshots(), .. Bitmaps(), .. Cuts(), .. Encrypted()];

    private static IEnumerable<MalformedImage> Headers() =>
    [
        .. Fields("plain", "magic", 0, 4, 0, 0x514649FA, 0x4B444D56),
        .. Fields("plain", "version", 4, 4, 0, 1, 4, 0xFFFF_FFFF),
        .. Fields("plain", "backing file offset", 8, 8, 1, 104, 0x10000, 0x10001, 1UL << 63, ulong.MaxValue),
        .. Fields("backing", "backing file offset", 8, 8, 0, 1, 0x10000, 0x10001, ulong.MaxValue),
        .. Fields("backing", "backing file size", 16, 4, 0, 1023, 1024, 0x7FFF_FFFF, 0xFFFF_FFFF),
        Field("backing", "backing file offset", 8, 8, 0xFFFE).And(Field("backing", "size", 16, 4, 2)),
        Field("backing", "backing file offset", 8, 8, 0xFFFE).And(Field("backing", "size", 16, 4, 3)),
        .. Fields("plain", "cluster bits", 20, 4, 0, 1, 8, 9, 14, 17, 21, 22, 31, 32, 63, 64, 0xFFFF_FFFF),
        .. Fields("v2", "cluster bits", 20, 4, 8, 9, 22),
        .. Fields("plain", "size", 24, 8, 0, 1, 513, 1 << 29, (1UL << 29) + 1, 1UL << 40, 1UL << 55, 1UL << 62, 1UL << 63, ulong.MaxValue),
        .. Fields("plain", "encryption method", 32, 4, 1, 2, 3, 0x8000_0000),
        .. Fields("v2", "encryption method", 32, 4, 1, 2, 3),
        .. Fields("plain", "refcount order", 96, 4, 7, 8, 63, 0xFFFF_FFFF),
        .. Fields("plain", "header length", 100, 4, 0, 72, 103, 105, 0x10000, 0x10001, 0x7FFF_FFFF, 0xFFFF_FFFF),
        .. Fields("plain", "compression type", 104, 1, 1, 2, 255),
        .. Fields("zstd", "compression type", 104, 1, 0, 2),
        .. Fields("plain", "padding", 105, 1, 1, 255),
    ];

    private static IEnumerable<MalformedImage> Tables() =>
    [
        .. Fields("plain", "L1 entries", 36, 4, 0, 2, 0x2000, 0x40_0000, 0x40_0001, 0x1000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF),
        .. Fields("plain", "L1 offset", 40, 8, 1, 512, 0x3_0200, 0x10_0000_0000_0000, 0x80_0000_0000_0000, 1UL << 63, ulong.MaxValue - 0xFFFF),
        .. Fields("plain", "refcount table offset", 48, 8, 1, 512, 0x1_0200, 0x80_0000_0000_0000, 1UL << 63, ulong.MaxValue - 0xFFFF),
        .. Fields("plain", "refcount table clusters", 56, 4, 0, 128, 129, 0x1_0000, 0x7FFF_FFFF, 0xFFFF_FFFF),
        .. Fields("v2", "refcount table clusters", 56, 4, 0, 129),
        .. Fields("plain", "snapshots", 60, 4, 65537, 0x7FFF_FFFF, 0xFFFF_FFFF),
        .. Fields("plain", "snapshot table offset", 64, 8, 1, 512, 0x1_0000, 1UL << 63, ulong.MaxValue - 0xFFFF),
    ];

    private static IEnumerable<MalformedImage> Features() =>
    [
        .. Fields("plain", "incompatible", 72, 8, 1, 2, 3, 4, 8, 16, 32, 64, 1UL << 63, ulong.MaxValue, (1UL << 40) | 64),
        .. Fields("extended", "incompatible", 72, 8, 0, 18),
        .. Fields("data-file", "incompatible", 72, 8, 0, 6),
        .. Fields("plain", "compatible", 80, 8, 1, 2, ulong.MaxValue),
        .. Fields("plain", "autoclear", 88, 8, 1, 2, 4, ulong.MaxValue),
        .. Fields("data-file", "autoclear", 88, 8, 2, 4),
        Field("extended", "cluster bits", 20, 4, 13),
        Field("extended", "cluster bits", 20, 4, 9),
    ];

    private static IEnumerable<MalformedImage> HeaderExtensions() =>
    [
        Extensions("plain", "no extensions"),
        Extensions("plain", "an unknown extension", (0x12345678, [1, 2, 3])),
        Field("plain", "extension length", 116, 4, 0xFFFF_FFFF),
        Field("plain", "extension length", 116, 4, 0x7FFF_FFFF),
        Field("plain", "extension length", 116, 4, 0xFF90),
        Extensions("plain", "a backing format that is too long", (BackingFormatExtension, new byte[16])),
        Extensions("plain", "a backing format", (BackingFormatExtension, "raw"u8.ToArray())),
        Extensions("plain", "an encryption header", (CryptoExtension, new byte[16])),
        Extensions("plain", "a short encryption header", (CryptoExtension, new byte[8])),
        Extensions("plain", "a data file's name", (DataFileExtension, "x"u8.ToArray())),
        Extensions("data-file", "no data file's name"),
        Extensions("data-file", "a data file that is missing", (DataFileExtension, "gone"u8.ToArray())),
        Extensions("plain", "names of features", (FeatureNamesExtension, [.. FeatureName(0, 5, "five"), .. FeatureName(1, 6, "six"), .. FeatureName(0, 7, "seven")]))
            .And(Field("plain", "incompatible", 72, 8, 0xE0)),
        Extensions("plain", "half a name of a feature", (FeatureNamesExtension, FeatureName(0, 5, "five")[..40])).And(Field("plain", "incompatible", 72, 8, 0x20)),
        Extensions("plain", "a feature's name without end", (FeatureNamesExtension, FeatureName(0, 5, new string('x', 46)))).And(Field("plain", "incompatible", 72, 8, 0x20)),
    ];

    private static IEnumerable<MalformedImage> Snapshots() =>
    [
        .. Fields("snapshots", "snapshots", 60, 4, 0, 1, 3, 65536, 65537),
        .. Fields("snapshots", "snapshot table offset", 64, 8, 1, 0x5_0200, 1UL << 63),
        .. BehindFields("snapshots", "snapshot's L1 offset", 64, 0, 8, 0, 1, 512, 1UL << 60, 1UL << 63),
        .. BehindFields("snapshots", "snapshot's L1 entries", 64, 8, 4, 0, 0x40_0001, 0xFFFF_FFFF),
        .. BehindFields("snapshots", "snapshot's id length", 64, 12, 2, 0, 0x100, 0xFFFF),
        .. BehindFields("snapshots", "snapshot's name length", 64, 14, 2, 0, 0x100, 0xFFFF),
        .. BehindFields("snapshots", "snapshot's extra data", 64, 36, 4, 0, 8, 1024, 1025, 0x7FFF_FFFF, 0xFFFF_FFFF),
    ];

    private static IEnumerable<MalformedImage> Bitmaps() =>
    [
        Extensions("plain", "bitmaps without the bit", Bitmap(2, 0, 64, 0x3_0000)),
        Extensions("bitmaps", "a short bitmaps extension", (BitmapsExtension, new byte[16])),
        Extensions("bitmaps", "a long bitmaps extension", (BitmapsExtension, new byte[32])),
        Extensions("bitmaps", "no bitmaps", Bitmap(0, 0, 64, 0x6_0000)),
        Extensions("bitmaps", "too many bitmaps", Bitmap(65536, 0, 64, 0x6_0000)),
        Extensions("bitmaps", "something reserved", Bitmap(2, 1, 64, 0x6_0000)),
        Extensions("bitmaps", "a bitmap directory without size", Bitmap(2, 0, 0, 0x6_0000)),
        Extensions("bitmaps", "an enormous bitmap directory", Bitmap(2, 0, 1UL << 40, 0x6_0000)),
        Extensions("bitmaps", "an unaligned bitmap directory", Bitmap(2, 0, 64, 0x6_0200)),
        Extensions("bitmaps", "a bitmap directory beyond the file", Bitmap(2, 0, 64, 1UL << 40)),
        .. Directory("table", 0, 8, 1, 512, 1UL << 40, 1UL << 63, 0),
        .. Directory("table entries", 8, 4, 0, 2, 0x7FFF_FFFF, 0xFFFF_FFFF),
        .. Directory("flags", 12, 4, 1, 4, 6, 0x8000_0000),
        .. Directory("type", 16, 1, 0, 2),
        .. Directory("granularity bits", 17, 1, 0, 8, 9, 31, 32, 63, 255),
        .. Directory("name length", 18, 2, 0, 1024, 0xFFFF),
        .. Directory("extra data", 20, 4, 1, 8, 0xFFFF_FFFF),
    ];

    private static IEnumerable<MalformedImage> Cuts() =>
        ((int[])[0, 3, 4, 71, 72, 103, 104, 112, 511, 512, 4096, 0xFFFF, 0x1_0000, 0x2_0000, 0x3_0000, 0x3_0008]).Select(bytes => Cut("plain", bytes))
            .Concat([Cut("v2", 72), Cut("snapshots", 0x4_0000), Cut("bitmaps", 0x4_0000), Cut("backing", 300)]);

    private static IEnumerable<MalformedImage> Encrypted() =>
    [
        Extensions("plain", "LUKS", (CryptoExtension, new byte[16])).And(Field("plain", "encryption method", 32, 4, 2)),
        new MalformedImage("aes", "as it is", image => image),
    ];

    private static IEnumerable<MalformedImage> Fields(string whole, string name, int offset, int bytes, params ulong[] values) =>
        values.Select(value => Field(whole, name, offset, bytes, value));

    private static IEnumerable<MalformedImage> BehindFields(string whole, string name, int pointer, int offset, int bytes, params ulong[] values) =>
        values.Select(value => Behind(whole, name, pointer, offset, bytes, value));

    /// <summary>Changes of the first entry of the bitmap directory.</summary>
    private static IEnumerable<MalformedImage> Directory(string name, int offset, int bytes, params ulong[] values) => values.Select(value =>
        new MalformedImage("bitmaps", $"bitmap's {name} {value:x}", image => Behind("bitmaps", name, FindBitmapDirectory(image), offset, bytes, value).Spoil(image)));

    private static int FindBitmapDirectory(byte[] image)
    {
        int at = 112;
        while (BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(at)) != BitmapsExtension)
        {
            at += 8 + ((BinaryPrimitives.ReadInt32BigEndian(image.AsSpan(at + 4)) + 7) & ~7);
        }

        return at + 8 + 16;
    }

    private static (uint Type, byte[] Data) Bitmap(uint count, uint reserved, ulong directoryBytes, ulong directoryOffset)
    {
        byte[] data = new byte[24];
        BinaryPrimitives.WriteUInt32BigEndian(data, count);
        BinaryPrimitives.WriteUInt32BigEndian(data.AsSpan(4), reserved);
        BinaryPrimitives.WriteUInt64BigEndian(data.AsSpan(8), directoryBytes);
        BinaryPrimitives.WriteUInt64BigEndian(data.AsSpan(16), directoryOffset);
        return (BitmapsExtension, data);
    }

    private static byte[] FeatureName(byte type, byte bit, string name)
    {
        byte[] entry = new byte[48];
        (entry[0], entry[1]) = (type, bit);
        Encoding.ASCII.GetBytes(name).CopyTo(entry, 2);
        return entry;
    }
}
