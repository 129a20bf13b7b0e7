using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Reads an image's header and tables, refusing what is not sound before anything is allocated or used.</summary>
/// <param name="File">The image's file.</param>
/// <param name="Header">Its first cluster.</param>
/// <param name="L1">The active L1 table, in the machine's byte order.</param>
/// <param name="RefcountTable">The refcount table in the machine's byte order, without the zeroes at its end.</param>
/// <param name="Snapshots">The snapshot table.</param>
/// <param name="SnapshotTableBytes">Its length.</param>
internal sealed record Qcow2OpenImage(
    ImageFile File, Qcow2HeaderCluster Header, ulong[] L1, ulong[] RefcountTable, List<Qcow2Snapshot> Snapshots, long SnapshotTableBytes)
{
    private const uint LuksEncryption = 2;

    private const ulong KnownFeatures = (ulong)(Qcow2IncompatibleFeatures.Dirty | Qcow2IncompatibleFeatures.Corrupt
        | Qcow2IncompatibleFeatures.DataFile | Qcow2IncompatibleFeatures.CompressionType | Qcow2IncompatibleFeatures.ExtendedL2);

    /// <summary>Reads and checks.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="readOnly">Whether the image will not be written.</param>
    /// <exception cref="QmpException">The image is not sound, or needs what we cannot do.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static async ValueTask<Qcow2OpenImage> ReadAsync(ImageFile file, bool readOnly)
    {
        Qcow2Header header = await ReadFromStartAsync(file, Qcow2Header.KnownBytes, ReadHeader).ConfigureAwait(false);
        Qcow2HeaderCluster first = await ReadFromStartAsync(file, (int)header.ClusterBytes, cluster => ReadFirstCluster(header, cluster))
            .ConfigureAwait(false);
        CheckFeatures(first, readOnly);
        CheckTables(header, file.SizeBytes);
        file.Tell(BlkdebugEvent.ReftableLoad);
        ulong[] table = await OrSayAsync(ReadRefcountTableAsync(file, header), "Could not initialize refcount handling").ConfigureAwait(false);
        ulong[] l1 = await OrSayAsync(ReadTableAsync(file, header.L1Offset, header.L1Entries), "Could not read L1 table").ConfigureAwait(false);
        (List<Qcow2Snapshot> snapshots, long bytes) = await Qcow2SnapshotTable.ReadAsync(file, header).ConfigureAwait(false);
        var image = new Qcow2OpenImage(file, first, l1, table, snapshots, bytes);
        return readOnly || (header.Incompatible & Qcow2IncompatibleFeatures.Dirty) == 0 ? image : await image.RepairAsync().ConfigureAwait(false);
    }

    /// <summary>Repairs an image that was not closed, whose refcounts are not to be trusted (qcow2 spec, "Dirty bit").</summary>
    private async ValueTask<Qcow2OpenImage> RepairAsync()
    {
        DaemonLog.Warn("Block", "qcow2: the image was not closed, its refcounts are rebuilt");
        var check = new Qcow2Check(File, Header, new CheckedTables(L1, RefcountTable, Snapshots, SnapshotTableBytes), ImageCheckFix.All);
        ulong[] table = await check.RepairAsync().ConfigureAwait(false);
        return check.Findings is { Corruptions: 0, CheckErrors: 0 }
            ? this with { RefcountTable = table }
            : throw new QmpException("Could not repair dirty image: Input/output error");
    }

    private static Qcow2Header ReadHeader(ReadOnlySpan<byte> start)
    {
        if (BinaryPrimitives.ReadUInt32BigEndian(start) != Qcow2Format.Magic)
        {
            throw new QmpException("Image is not in qcow2 format");
        }

        Qcow2Header header = Qcow2Header.Read(start);
        if (header.Version is not (2 or 3))
        {
            throw new QmpException($"Unsupported qcow2 version {header.Version}");
        }

        if (header.ClusterBits is < Qcow2Format.MinimumClusterBits or > Qcow2Format.MaximumClusterBits)
        {
            throw new QmpException($"Unsupported cluster size: 2^{header.ClusterBits}");
        }

        if (header.Version >= 3 && header.HeaderBytes < Qcow2Format.Version3HeaderBytes)
        {
            throw new QmpException("qcow2 header too short");
        }

        if (header.HeaderBytes > header.ClusterBytes)
        {
            throw new QmpException("qcow2 header exceeds cluster size");
        }

        return header;
    }

    private static Qcow2HeaderCluster ReadFirstCluster(Qcow2Header header, ReadOnlySpan<byte> cluster)
    {
        if (header.BackingFileOffset > (ulong)header.ClusterBytes)
        {
            throw new QmpException("Invalid backing file offset");
        }

        int start = (int)header.HeaderBytes;
        int end = header.BackingFileOffset != 0 ? (int)header.BackingFileOffset : header.ClusterBytes;
        List<Qcow2HeaderExtension> extensions = Qcow2HeaderExtension.ReadAll(cluster[Math.Min(start, end)..end]);
        if (extensions.Find(e => e.Type == Qcow2HeaderExtension.BackingFormat) is { Data.Length: > Qcow2Format.MaximumBackingFormatBytes } format)
        {
            throw new QmpException($"ERROR: ext_backing_format: len={format.Data.Length} too large (>=16)");
        }

        if (header.EncryptionMethod != LuksEncryption && extensions.Exists(e => e.Type == Qcow2HeaderExtension.Crypto))
        {
            throw new QmpException("CRYPTO header extension only expected with LUKS encryption method");
        }

        CheckBitmaps(extensions, header);
        return new Qcow2HeaderCluster(header, extensions, ReadBackingFile(header, cluster), cluster);
    }

    private static void CheckBitmaps(List<Qcow2HeaderExtension> extensions, Qcow2Header header)
    {
        if (extensions.Find(e => e.Type == Qcow2BitmapExtension.Magic) is not { } bitmaps)
        {
            return;
        }

        if (bitmaps.Data.Length != Qcow2BitmapExtension.Size)
        {
            throw new QmpException("bitmaps_ext: Invalid extension length");
        }

        bool trusted = (header.Autoclear & Qcow2AutoclearFeatures.Bitmaps) != 0;
        if (trusted && !Qcow2BitmapExtension.TryRead(bitmaps.Data, out _))
        {
            throw new QmpException("bitmaps_ext: Reserved field is not zero");
        }
    }

    private static string? ReadBackingFile(Qcow2Header header, ReadOnlySpan<byte> cluster)
    {
        if (header.BackingFileOffset == 0 || header.BackingFileBytes == 0)
        {
            return null;
        }

        if (header.BackingFileBytes > Math.Min(Qcow2Format.MaximumBackingNameBytes, (ulong)header.ClusterBytes - header.BackingFileOffset))
        {
            throw new QmpException("Backing file name too long");
        }

        string name = Qcow2Format.Text(cluster.Slice((int)header.BackingFileOffset, (int)header.BackingFileBytes));
        return name.Length > 0 ? name : null;
    }

    private static void CheckFeatures(Qcow2HeaderCluster first, bool readOnly)
    {
        Qcow2Header header = first.Header;
        if (header.CompressionType > 1)
        {
            throw new QmpException($"qcow2: unknown compression type: {header.CompressionType}");
        }

        if ((header.Incompatible & Qcow2IncompatibleFeatures.CompressionType) != 0 != (header.CompressionType != 0))
        {
            throw new QmpException($"qcow2: Compression type incompatible feature bit must {(header.CompressionType == 0 ? "not " : "")}be set");
        }

        if (((ulong)header.Incompatible & ~KnownFeatures) is not 0 and var unknown)
        {
            throw new QmpException($"Unsupported qcow2 feature(s): {Qcow2FeatureNames.Describe(unknown, first.Find(Qcow2HeaderExtension.FeatureNames))}");
        }

        if ((header.Incompatible & Qcow2IncompatibleFeatures.ExtendedL2) != 0 && header.ClusterBits < L2Layout.LeastExtendedClusterBits)
        {
            throw new QmpException($"Unsupported subcluster size: {1 << L2Layout.For(header).UnitBits}");
        }

        bool isRaw = (header.Autoclear & Qcow2AutoclearFeatures.RawExternalData) != 0;
        if (isRaw && (header.Incompatible & Qcow2IncompatibleFeatures.DataFile) == 0)
        {
            throw new QmpException("data-file-raw requires a data file");
        }

        if (!readOnly && (header.Incompatible & Qcow2IncompatibleFeatures.Corrupt) != 0)
        {
            throw new QmpException("qcow2: Image is corrupt; cannot be opened read/write");
        }

        if (header.RefcountOrder > Qcow2Format.MaximumRefcountOrder)
        {
            throw new QmpException("Reference count entry width too large; may not exceed 64 bits");
        }

        RefuseEncryption(first);
    }

    private static void RefuseEncryption(Qcow2HeaderCluster first)
    {
        const uint Aes = 1;
        switch (first.Header.EncryptionMethod)
        {
            case 0:
                return;
            case LuksEncryption when first.Find(Qcow2HeaderExtension.Crypto) is null:
                throw new QmpException($"Missing CRYPTO header for crypt method {LuksEncryption}");
            case LuksEncryption:
                throw new QmpException("Unsupported qcow2 feature(s): LUKS encryption");
            case Aes:
                throw new QmpException("Unsupported qcow2 feature(s): AES encryption");
            case var method:
                throw new QmpException($"Unsupported encryption method {(int)method}");
        }
    }

    private static void CheckTables(Qcow2Header header, long fileBytes)
    {
        long refcountEntries = (long)header.RefcountTableClusters << (int)header.ClusterBits >> 3;
        CheckTable("Reference count table", header.RefcountTableOffset, refcountEntries, sizeof(ulong), Qcow2Format.MaximumRefcountTableBytes, header);
        Check(refcountEntries > 0, "Image does not contain a reference count table");
        CheckInside("Reference count table", header.RefcountTableOffset, header, fileBytes);
        CheckTable(
            "Snapshot table", header.SnapshotsOffset, header.SnapshotCount, Qcow2Snapshot.FixedBytes, (long)Qcow2Format.MaximumSnapshots * Qcow2Snapshot.FixedBytes, header);
        CheckTable("Active L1 table", header.L1Offset, header.L1Entries, sizeof(ulong), Qcow2Format.MaximumL1Bytes, header);
        Check(header.SizeBytes >> 63 == 0 || header.SizeBytes + (1UL << L2Layout.For(header).TableShift) > header.SizeBytes, "Could not refresh total sector count: File too large");
        ulong neededEntries = L2Layout.For(header).TablesFor(header.SizeBytes);
        Check(neededEntries <= int.MaxValue / sizeof(ulong), "Image is too big");
        Check(header.L1Entries >= neededEntries, "L1 table is too small");
        if (header.L1Entries > 0)
        {
            CheckInside("Active L1 table", header.L1Offset, header, fileBytes);
        }

        if (header.SnapshotCount > 0)
        {
            CheckInside("Snapshot table", header.SnapshotsOffset, header, fileBytes);
        }
    }

    /// <summary>Refuses a table that is too large, or whose place cannot be one.</summary>
    /// <param name="name">What to call it, capitalised.</param>
    /// <param name="offset">Its place.</param>
    /// <param name="entries">Its entries.</param>
    /// <param name="entryBytes">Bytes of an entry.</param>
    /// <param name="maximumBytes">Bytes that it may have.</param>
    /// <param name="header">The image's header.</param>
    /// <exception cref="QmpException">It is not sound.</exception>
    public static void CheckTable(string name, ulong offset, long entries, int entryBytes, long maximumBytes, Qcow2Header header)
    {
        Check(entries <= maximumBytes / entryBytes, $"{name} too large");
        Check(offset <= (ulong)(long.MaxValue - (entries * entryBytes)) && (offset & ((ulong)header.ClusterBytes - 1)) == 0, $"{name} offset invalid");
    }

    /// <summary>A table that will be written must lie in the file, and not on the header.</summary>
    private static void CheckInside(string name, ulong offset, Qcow2Header header, long fileBytes) =>
        Check(offset >= (ulong)header.ClusterBytes && offset < (ulong)fileBytes && offset < (ulong)Qcow2Format.MaximumHostOffset, $"{name} offset invalid");

    private static void Check(bool sound, string otherwise)
    {
        if (!sound)
        {
            throw new QmpException(otherwise);
        }
    }

    /// <summary>Reads the first bytes of the image and takes what is wanted from them.</summary>
    private static ValueTask<T> ReadFromStartAsync<T>(ImageFile file, int length, Func<ReadOnlySpan<byte>, T> take)
    {
        return OrSayAsync(ReadAsync(), "Could not read qcow2 header");

        async ValueTask<T> ReadAsync()
        {
            IoBuffer buffer = IoBufferPool.Rent(length);
            try
            {
                await file.ReadAsync(0, buffer.Memory[..length]).ConfigureAwait(false);
                return take(buffer.Memory.Span[..length]);
            }
            finally
            {
                buffer.Return();
            }
        }
    }

    /// <summary>Most images use few of the entries: the zeroes behind them take no memory.</summary>
    private static async ValueTask<ulong[]> ReadRefcountTableAsync(ImageFile file, Qcow2Header header)
    {
        int length = (int)(header.RefcountTableClusters << (int)header.ClusterBits);
        IoBuffer buffer = IoBufferPool.Rent(length);
        try
        {
            Memory<byte> table = buffer.Memory[..length];
            await file.ReadAsync((long)header.RefcountTableOffset, table).ConfigureAwait(false);
            int used = table.Span.LastIndexOfAnyExcept((byte)0) + 1;
            return ReadEntries(table.Span[..Math.Min(length, (used + Qcow2Format.SectorBytes - 1) & -Qcow2Format.SectorBytes)]);
        }
        finally
        {
            buffer.Return();
        }
    }

    /// <summary>Names what could not be read.</summary>
    private static async ValueTask<T> OrSayAsync<T>(ValueTask<T> read, string failure)
    {
        try
        {
            return await read.ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"{failure}: {e.Message}");
        }
    }

    /// <summary>Reads a table of 64-bit entries into the machine's byte order.</summary>
    public static async ValueTask<ulong[]> ReadTableAsync(ImageFile file, ulong offset, long entries)
    {
        byte[] bytes = new byte[entries * sizeof(ulong)];
        await file.ReadAsync((long)offset, bytes).ConfigureAwait(false);
        return ReadEntries(bytes);
    }

    private static ulong[] ReadEntries(ReadOnlySpan<byte> bytes)
    {
        ulong[] table = new ulong[bytes.Length / sizeof(ulong)];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, ulong>(bytes), table);
        return table;
    }
}
