using System.Buffers.Binary;

namespace Unit.Qcow2;

/// <summary>Counts an image's references independently of the driver, as <c>qemu-img check</c> does.</summary>
internal sealed class ImageChecker
{
    private const ulong OffsetMask = 0x00FF_FFFF_FFFF_FE00;

    private readonly byte[] _image;
    private readonly int _clusterBits;
    private readonly Dictionary<long, int> _references = [];

    private ImageChecker(byte[] image)
    {
        _image = image;
        _clusterBits = (int)U32(20);
    }

    public List<string> Corruptions { get; } = [];

    public int Leaks { get; private set; }

    public static ImageChecker Check(byte[] image)
    {
        var checker = new ImageChecker(image);
        checker.Run();
        return checker;
    }

    private void Run()
    {
        int order = U32(4) >= 3 ? (int)U32(96) : 4;
        long tableOffset = (long)U64(48);
        int tableClusters = (int)U32(56);
        Refer(0, 1, "header");
        Refer(tableOffset, (long)tableClusters << _clusterBits, "refcount table");
        Refer((long)U64(40), U32(36) * 8L, "L1 table");
        var blocks = new Dictionary<long, long>();
        for (long i = 0; i < (tableClusters << _clusterBits) / 8; i++)
        {
            long block = (long)(U64(tableOffset + (i * 8)) & OffsetMask);
            if (block != 0)
            {
                blocks[i] = block;
                Refer(block, 1, "refcount block");
            }
        }

        ReferGuestClusters((long)U64(40), U32(36), cluster => Refcount(blocks, order, cluster));
        foreach ((long l1, uint entries) in ReadSnapshotTable())
        {
            Refer(l1, entries * 8L, "snapshot L1 table");
            ReferGuestClusters(l1, entries, refcount: null);
        }

        ReferBitmaps();
        Compare(blocks, order);
    }

    private void ReferBitmaps()
    {
        bool trusted = (Byte(95) & 1) != 0 && U32(4) >= 3;
        for (long at = U32(100); trusted && U32(at) != 0; at += 8 + ((U32(at + 4) + 7L) & ~7L))
        {
            if (U32(at) == 0x23852875)
            {
                ReferDirectory((long)U64(at + 24), (long)U64(at + 16));
            }
        }
    }

    private void ReferDirectory(long start, long bytes)
    {
        Refer(start, bytes, "bitmap directory");
        for (long entry = start; entry < start + bytes; entry += (24 + U32(entry + 20) + (U32(entry + 16) & 0xFFFF) + 7L) & ~7L)
        {
            (long table, uint entries) = ((long)U64(entry), U32(entry + 8));
            Refer(table, entries * 8L, "bitmap table");
            for (long i = 0; i < entries; i++)
            {
                if ((long)(U64(table + (i * 8)) & OffsetMask) is not 0 and long data)
                {
                    Refer(data, 1, "bitmap data");
                }
            }
        }
    }

    /// <summary>What a snapshot shows, found without the driver; no backing file, nothing compressed.</summary>
    public static byte[] ReadSnapshot(byte[] image, int index)
    {
        var checker = new ImageChecker(image);
        (long l1, _) = checker.ReadSnapshotTable()[index];
        byte[] content = new byte[checker.U64(24)];
        for (int at = 0; at < content.Length; at += 1 << checker._clusterBits)
        {
            long table = (long)(checker.U64(l1 + (at >> ((2 * checker._clusterBits) - 3) << 3)) & OffsetMask);
            ulong entry = table == 0 ? 0 : checker.U64(table + ((at >> checker._clusterBits << 3) & ((1 << checker._clusterBits) - 1)));
            long host = (entry & 1) != 0 ? 0 : (long)(entry & OffsetMask);
            int length = Math.Min(1 << checker._clusterBits, content.Length - at);
            for (int i = 0; i < length && host != 0; i++)
            {
                content[at + i] = (byte)checker.Byte(host + i);
            }
        }

        return content;
    }

    private List<(long L1, uint Entries)> ReadSnapshotTable()
    {
        var snapshots = new List<(long, uint)>();
        long start = (long)U64(64);
        long at = start;
        for (uint i = 0; i < U32(60); i++)
        {
            at = (at + 7) & ~7L;
            snapshots.Add(((long)U64(at), U32(at + 8)));
            at += 40 + U32(at + 36) + (U32(at + 12) >> 16) + (U32(at + 12) & 0xFFFF);
        }

        if (snapshots.Count > 0)
        {
            Refer(start, at - start, "snapshot table");
        }

        return snapshots;
    }

    private void ReferGuestClusters(long l1Offset, uint entries, Func<long, long>? refcount)
    {
        for (long i = 0; i < entries; i++)
        {
            ulong l1 = U64(l1Offset + (i * 8));
            long table = (long)(l1 & OffsetMask);
            if (table == 0)
            {
                continue;
            }

            Refer(table, 1, $"L2 table {i}");
            CheckCopied(l1, refcount?.Invoke(table >> _clusterBits), $"L1 entry {i}");
            bool hasDataFile = (Byte(79) & 4) != 0;
            int entryBits = (Byte(79) & 16) != 0 ? 4 : 3;
            for (long k = 0; k < 1 << (_clusterBits - entryBits) && !hasDataFile; k++)
            {
                ulong l2 = U64(table + (k << entryBits));
                long cluster = (long)(l2 & OffsetMask);
                if ((l2 >> 62 & 1) != 0)
                {
                    ReferCompressed(l2);
                    continue;
                }

                if (cluster == 0)
                {
                    continue;
                }

                Refer(cluster, 1, $"L2 entry {i}.{k}");
                CheckCopied(l2, refcount?.Invoke(cluster >> _clusterBits), $"L2 entry {i}.{k}");
            }
        }
    }

    private void ReferCompressed(ulong entry)
    {
        int sectorsShift = 62 - (_clusterBits - 8);
        long start = (long)(entry & ((1UL << sectorsShift) - 1));
        long sectors = (long)((entry & ~(1UL << 62)) >> sectorsShift) + 1;
        long end = ((start >> 9) + sectors) << 9;
        for (long cluster = start >> _clusterBits; cluster << _clusterBits < end; cluster++)
        {
            _references[cluster] = _references.GetValueOrDefault(cluster) + 1;
        }
    }

    private void CheckCopied(ulong entry, long? refcount, string what)
    {
        if (refcount is not null && entry >> 63 != (refcount == 1 ? 1UL : 0))
        {
            Corruptions.Add($"{what}: copied flag {entry >> 63} but refcount {refcount}");
        }
    }

    private void Compare(Dictionary<long, long> blocks, int order)
    {
        foreach ((long cluster, int references) in _references)
        {
            long refcount = Refcount(blocks, order, cluster);
            if (refcount < references)
            {
                Corruptions.Add($"cluster {cluster}: refcount {refcount}, {references} references");
            }

            Leaks += refcount > references ? 1 : 0;
        }

        long perBlock = (8L << _clusterBits) >> order;
        foreach (long index in blocks.Keys)
        {
            for (long cluster = index * perBlock; cluster < (index + 1) * perBlock; cluster++)
            {
                Leaks += !_references.ContainsKey(cluster) && Refcount(blocks, order, cluster) > 0 ? 1 : 0;
            }
        }
    }

    private long Refcount(Dictionary<long, long> blocks, int order, long cluster)
    {
        long perBlock = (8L << _clusterBits) >> order;
        if (!blocks.TryGetValue(cluster / perBlock, out long block))
        {
            return 0;
        }

        long bit = (cluster % perBlock) << order;
        long at = block + (bit >> 3);
        return order switch
        {
            < 3 => Byte(at) >> (int)(bit & 7) & ((1 << (1 << order)) - 1),
            3 => Byte(at),
            4 => (Byte(at) << 8) | Byte(at + 1),
            5 => U32(at),
            _ => (long)U64(at),
        };
    }

    private void Refer(long offset, long bytes, string what)
    {
        if ((offset & ((1L << _clusterBits) - 1)) != 0)
        {
            Corruptions.Add($"{what} at {offset:x} is not aligned");
        }

        for (long cluster = offset >> _clusterBits; cluster << _clusterBits < offset + bytes; cluster++)
        {
            _references[cluster] = _references.GetValueOrDefault(cluster) + 1;
        }
    }

    private int Byte(long at) => at < _image.Length ? _image[at] : 0;

    private uint U32(long at) => at + 4 <= _image.Length ? BinaryPrimitives.ReadUInt32BigEndian(_image.AsSpan((int)at)) : 0;

    private ulong U64(long at) => at + 8 <= _image.Length ? BinaryPrimitives.ReadUInt64BigEndian(_image.AsSpan((int)at)) : 0;
}
