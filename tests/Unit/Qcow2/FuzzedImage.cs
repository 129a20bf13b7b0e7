using System.Buffers.Binary;
using Monitor.Block;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Qapi;

namespace Unit.Qcow2;

/// <summary>An image with a bit of everything, and random damage to its structures: header, backing file name, tables, refcounts, snapshots, bitmaps.</summary>
internal sealed class FuzzedImage
{
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;
    private const int MostNotedBytes = 1024;

    private static readonly ulong[] s_values =
    [
        0, 1, 2, 7, 40, 104, 511, 512, 1024, 0x10000, 0x7FFF, 0xFFFF, 0x10001, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1UL << 32, 1UL << 40, 1UL << 55,
        1UL << 56, 1UL << 62, 1UL << 63, (1UL << 63) - 1, ulong.MaxValue,
    ];

    private readonly byte[] _image;
    private readonly int _clusterBytes;
    private readonly List<(int Offset, int Length)> _structures = [];

    private FuzzedImage(byte[] image, StorageContent? data)
    {
        (_image, Data) = (image, data);
        _clusterBytes = 1 << (int)U32(20);
        Note(0, 512);
        if ((int)U64(8) is not 0 and int name)
        {
            Note(name, (int)U32(16));
        }

        int refcountTable = (int)U64(48);
        Note(refcountTable, 64);
        NoteTargets(refcountTable, 8);
        NoteTables((int)U64(40), (int)U32(36));
        if ((int)U64(64) is not 0 and int snapshots)
        {
            Note(snapshots, 200);
            NoteTables((int)U64(snapshots), (int)U32(snapshots + 8));
        }

        NoteBitmaps();
    }

    /// <summary>Bytes of the undamaged image.</summary>
    public ReadOnlySpan<byte> Bytes => _image;

    /// <summary>The content of its data file, if it has one.</summary>
    public StorageContent? Data { get; }

    /// <summary>Makes the undamaged image: of small clusters, with subclusters, or with its data in another file.</summary>
    public static async Task<FuzzedImage> MakeAsync(FuzzedImageKind kind)
    {
        StorageNode? dataFile = kind == FuzzedImageKind.DataFile ? new StorageNode() : null;
        int clusterBytes = kind == FuzzedImageKind.Extended ? 16384 : 1024;
        var storage = new StorageNode(await TestImage.CreateAsync(
            new BlockdevCreateOptionsQcow2
            {
                File = null!,
                Size = 300 * 1024,
                ClusterSize = (ulong)clusterBytes,
                ExtendedL2 = kind == FuzzedImageKind.Extended,
                CompressionType = kind == FuzzedImageKind.Extended ? Qcow2CompressionType.Zstd : null,
                BackingFile = kind == FuzzedImageKind.Plain ? "base.raw" : null,
                BackingFmt = kind == FuzzedImageKind.Plain ? BlockdevDriver.Raw : null,
            },
            dataFile));
        Qcow2Node node = await TestImage.OpenAsync(storage, dataFile: dataFile);
        byte[] data = new byte[50_000];
        new Random(1).NextBytes(data);
        await node.WriteAsync(5000, data);
        if (dataFile is null)
        {
            await node.CreateSnapshotAsync("first", DateTimeOffset.UnixEpoch);
        }

        await node.WriteAsync(200_000, data);
        await node.WriteZeroesAsync(20_000, 10_000);
        data.AsSpan().Fill(7);
        if (dataFile is null)
        {
            await node.WriteAsync(112 * 1024, data.AsMemory(0, 32 * 1024), BlockWriteFlags.Compressed);
            await node.CreateSnapshotAsync("second", DateTimeOffset.UnixEpoch);
        }

        node.Bitmaps.Add("dirty", 512, persistent: true);
        await node.WriteAsync(0, data.AsMemory(0, 3000));
        node.Bitmaps.Add("other", 1024, persistent: true, disabled: true);
        await node.CloseAsync();
        return new FuzzedImage(storage.Bytes, dataFile?.Content);
    }

    /// <summary>A copy with a few changes, most of them numbers that bad code would stumble over.</summary>
    public byte[] Damage(Random random)
    {
        byte[] damaged = [.. _image];
        for (int changes = random.Next(1, 5); changes > 0; changes--)
        {
            (int offset, int length) = _structures[random.Next(_structures.Count)];
            int width = 1 << random.Next(4);
            int at = offset + (random.Next(Math.Max(1, length / width)) * width);
            Span<byte> field = damaged.AsSpan(at, Math.Min(width, damaged.Length - at));
            Change(field, random);
        }

        return random.Next(20) == 0 ? damaged[..random.Next(damaged.Length)] : damaged;
    }

    private void Change(Span<byte> field, Random random)
    {
        if (random.Next(4) == 0)
        {
            field[random.Next(field.Length)] ^= (byte)(1 << random.Next(8));
            return;
        }

        ulong value = random.Next(3) == 0 ? (ulong)random.Next(400) * (ulong)_clusterBytes : s_values[random.Next(s_values.Length)];
        value |= random.Next(4) == 0 ? 1UL << 63 : 0;
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        bytes[^field.Length..].CopyTo(field);
    }

    private void NoteTables(int l1, int entries)
    {
        Note(l1, entries * 8);
        NoteTargets(l1, entries);
    }

    private void NoteTargets(int table, int entries)
    {
        for (int i = 0; i < entries; i++)
        {
            int target = (int)(U64(table + (i * 8)) & OffsetMask);
            if (target != 0)
            {
                Note(target, Math.Min(_clusterBytes, MostNotedBytes));
            }
        }
    }

    private void NoteBitmaps()
    {
        for (int at = 112; U32(at) != 0; at += 8 + (((int)U32(at + 4) + 7) & ~7))
        {
            if (U32(at) == 0x23852875)
            {
                int directory = (int)U64(at + 24);
                Note(directory, (int)U64(at + 16));
                NoteBitmapTables(directory, (int)U32(at + 8));
            }
        }
    }

    private void NoteBitmapTables(int directory, int count)
    {
        const int EntryBytes = 24;
        for (int at = directory; count > 0; count--)
        {
            Note((int)U64(at), 8 * (int)U32(at + 8));
            int names = BinaryPrimitives.ReadUInt16BigEndian(_image.AsSpan(at + 18)) + (int)U32(at + 20);
            at += (EntryBytes + names + 7) & ~7;
        }
    }

    private void Note(int offset, int length) => _structures.Add((offset, Math.Min(length, _image.Length - offset)));

    private uint U32(int at) => BinaryPrimitives.ReadUInt32BigEndian(_image.AsSpan(at));

    private ulong U64(int at) => BinaryPrimitives.ReadUInt64BigEndian(_image.AsSpan(at));
}
