using System.Buffers.Binary;
using System.Numerics;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Makes empty images.</summary>
public static class Qcow2Image
{
    private const ulong DefaultClusterBytes = 65536;

    /// <summary>Bytes that the first cluster must have left for the names of features, as in QEMU: others need the room more.</summary>
    private const int LeastRoomForNames = 4096;

    /// <summary>The largest disk that QEMU's block layer can have.</summary>
    private const ulong MaximumSizeBytes = 0x7FFF_FFFF_C000_0000;

    /// <summary>Writes an empty image into a file, whose content is lost, and syncs it.</summary>
    /// <param name="file">The node below; permissions to write and resize are held.</param>
    /// <param name="options">What <c>blockdev-create</c> was asked; its <c>file</c> and <c>data-file</c> are not looked at.</param>
    /// <param name="dataFile">The node of the external data file, if the image is to have one; permissions to write and resize are held.</param>
    /// <exception cref="QmpException">The options contradict each other, or space could not be taken ahead: then the image is there without it.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static async ValueTask CreateAsync(BlockNode file, BlockdevCreateOptionsQcow2 options, BlockNode? dataFile = null)
    {
        await CreateEmptyAsync(file, options, dataFile).ConfigureAwait(false);
        if (Preallocation(options) is PreallocMode.Off)
        {
            return;
        }

        try
        {
            await PreallocateAsync(file, dataFile, Preallocation(options)).ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            // What was taken may be all the space there was.
            await CreateEmptyAsync(file, options, dataFile).ConfigureAwait(false);
            string where = dataFile is null && (options.Preallocation is PreallocMode.Falloc or PreallocMode.Full) ? "Failed to resize underlying file: " : "";
            throw new QmpException($"Could not resize image: {where}{e.Message}");
        }
    }

    private static async ValueTask CreateEmptyAsync(BlockNode file, BlockdevCreateOptionsQcow2 options, BlockNode? dataFile)
    {
        Qcow2Header header = Describe(options, dataFile is not null);
        Layout layout = Layout.For(header);
        header.RefcountTableOffset = (ulong)header.ClusterBytes;
        header.RefcountTableClusters = (uint)layout.TableClusters;
        header.L1Offset = (ulong)(1 + layout.TableClusters + layout.Blocks) << (int)header.ClusterBits;
        var first = new Qcow2HeaderCluster(header, Extensions(header, options, dataFile), options.BackingFile, new byte[header.ClusterBytes]);
        byte[] headerBytes = HeaderBytes(first, options);

        // The magic goes last: until then the file is no image at all.
        await file.TruncateAsync(0).ConfigureAwait(false);
        await file.TruncateAsync((long)header.L1Offset + L1Bytes(header)).ConfigureAwait(false);
        await WriteRefcountsAsync(file, header, layout).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        await file.WriteAsync(0, headerBytes).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
        if (dataFile is not null)
        {
            await dataFile.TruncateAsync(0).ConfigureAwait(false);
            await dataFile.TruncateAsync((long)options.Size).ConfigureAwait(false);
        }
    }

    /// <summary>A raw data file must show every write at its place, so its clusters exist from the start.</summary>
    private static PreallocMode Preallocation(BlockdevCreateOptionsQcow2 options) =>
        options.Preallocation is null or PreallocMode.Off && options.DataFileRaw == true ? PreallocMode.Metadata : options.Preallocation ?? PreallocMode.Off;

    private static async ValueTask PreallocateAsync(BlockNode file, BlockNode? dataFile, PreallocMode mode)
    {
        var node = new Qcow2Node(new BlockNodeSettings { NodeName = file.NodeName }, null, NoEvents.Instance);
        node.AddChild(new BlockChild(node, file, "file", BlockChildRole.Image));
        if (dataFile is not null)
        {
            node.AddChild(new BlockChild(node, dataFile, BlockNode.DataFileChild, BlockChildRole.Data));
        }

        await node.OpenAsync().ConfigureAwait(false);
        try
        {
            await node.PreallocateAsync(mode).ConfigureAwait(false);
            await node.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            await node.CloseAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The L1 table comes last and takes whole sectors, not its whole last cluster.</summary>
    private static long L1Bytes(Qcow2Header header) =>
        ((header.L1Entries * (long)sizeof(ulong)) + Qcow2Format.SectorBytes - 1) & -Qcow2Format.SectorBytes;

    private static Qcow2Header Describe(BlockdevCreateOptionsQcow2 options, bool hasDataFile)
    {
        ulong clusterBytes = options.ClusterSize ?? DefaultClusterBytes;
        bool isVersion3 = options.Version is null or BlockdevQcow2Version.V3;
        long refcountBits = options.RefcountBits ?? 16;
        Refuse(options.Size % Qcow2Format.SectorBytes != 0, "Image size must be a multiple of 512 bytes");
        Refuse(
            !BitOperations.IsPow2(clusterBytes) || clusterBytes is < 1 << Qcow2Format.MinimumClusterBits or > 1 << Qcow2Format.MaximumClusterBits,
            "Cluster size must be a power of two between 512 and 2048k");
        bool extended = options.ExtendedL2 == true;
        Refuse(
            extended && clusterBytes < 1 << L2Layout.LeastExtendedClusterBits,
            $"Extended L2 entries are only supported with cluster sizes of at least {1 << L2Layout.LeastExtendedClusterBits} bytes");
        Refuse(
            !isVersion3 && extended,
            "Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)");
        Refuse(
            options.BackingFile is not null && options.Preallocation is not (null or PreallocMode.Off) && !extended,
            "Backing file and preallocation can only be used at the same time if extended_l2 is on");
        Refuse(
            !isVersion3 && options.LazyRefcounts == true,
            "Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)");
        Refuse(
            refcountBits is < 1 or > 64 || !BitOperations.IsPow2(refcountBits),
            "Refcount width must be a power of two and may not exceed 64 bits");
        Refuse(
            !isVersion3 && refcountBits != 16,
            "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)");
        Refuse(options.BackingFmt is not null && options.BackingFile is null, "Backing format cannot be used without backing file");
        Refuse(options.DataFileRaw == true && !hasDataFile, "data-file-raw requires data-file");
        Refuse(options.DataFileRaw == true && options.BackingFile is not null, "Backing file and data-file-raw cannot be used at the same time");
        Refuse(
            !isVersion3 && hasDataFile,
            "External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)");
        bool zstd = options.CompressionType == Qcow2CompressionType.Zstd;
        Refuse(
            !isVersion3 && zstd,
            "Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)");
        var header = new Qcow2Header
        {
            Version = isVersion3 ? 3u : 2u,
            ClusterBits = (uint)BitOperations.Log2(clusterBytes),
            SizeBytes = options.Size,
            RefcountOrder = (uint)BitOperations.Log2((ulong)refcountBits),
            HeaderBytes = (uint)(isVersion3 ? Qcow2Header.KnownBytes : Qcow2Format.Version2HeaderBytes),
            Incompatible = (zstd ? Qcow2IncompatibleFeatures.CompressionType : Qcow2IncompatibleFeatures.None)
                | (hasDataFile ? Qcow2IncompatibleFeatures.DataFile : Qcow2IncompatibleFeatures.None)
                | (extended ? Qcow2IncompatibleFeatures.ExtendedL2 : Qcow2IncompatibleFeatures.None),
            Autoclear = options.DataFileRaw == true ? Qcow2AutoclearFeatures.RawExternalData : Qcow2AutoclearFeatures.None,
            Compatible = options.LazyRefcounts == true ? Qcow2CompatibleFeatures.LazyRefcounts : Qcow2CompatibleFeatures.None,
            CompressionType = zstd ? (byte)1 : (byte)0,
        };
        header.L1Entries = L1EntriesFor(header);
        return header;
    }

    private static uint L1EntriesFor(Qcow2Header header)
    {
        Refuse(
            header.SizeBytes > MaximumSizeBytes,
            $"Could not resize image: offset({header.SizeBytes}) exceeds maximum({MaximumSizeBytes})");
        ulong entries = L2Layout.For(header).TablesFor(header.SizeBytes);
        Refuse(
            entries > (ulong)Qcow2Format.MaximumL1Bytes / sizeof(ulong),
            $"Could not resize image: Failed to grow the L1 table: {Errno.Describe(Errno.EFBIG)}");
        return (uint)entries;
    }

    private static List<Qcow2HeaderExtension> Extensions(Qcow2Header header, BlockdevCreateOptionsQcow2 options, BlockNode? dataFile)
    {
        var extensions = new List<Qcow2HeaderExtension>();
        if (options.BackingFmt is { } format)
        {
            extensions.Add(new Qcow2HeaderExtension(Qcow2HeaderExtension.BackingFormat, Encoding.UTF8.GetBytes(format.ToWire())));
        }

        if (dataFile is { FileName.Length: > 0 })
        {
            extensions.Add(new Qcow2HeaderExtension(Qcow2HeaderExtension.DataFile, Encoding.UTF8.GetBytes(dataFile.FileName)));
        }

        if (header.Version >= 3 && header.ClusterBytes - Qcow2Header.KnownBytes - extensions.Sum(e => e.TotalBytes) >= LeastRoomForNames)
        {
            extensions.Add(new Qcow2HeaderExtension(Qcow2HeaderExtension.FeatureNames, Qcow2FeatureNames.ToExtension()));
        }

        return extensions;
    }

    private static byte[] HeaderBytes(Qcow2HeaderCluster first, BlockdevCreateOptionsQcow2 options)
    {
        int errno = Encoding.UTF8.GetByteCount(options.BackingFile ?? "") > Qcow2Format.MaximumBackingNameBytes ? Errno.EINVAL : 0;
        if (errno == 0)
        {
            try
            {
                return first.ToBytes();
            }
            catch (BlockIoException e)
            {
                errno = e.Errno;
            }
        }

        throw new QmpException(
            $"Could not assign backing file '{options.BackingFile}' with format '{options.BackingFmt?.ToWire() ?? "(null)"}': {Errno.Describe(errno)}");
    }

    private static async ValueTask WriteRefcountsAsync(BlockNode file, Qcow2Header header, Layout layout)
    {
        int clusterBits = (int)header.ClusterBits;
        byte[] table = new byte[layout.TableClusters << clusterBits];
        byte[] block = new byte[header.ClusterBytes];
        var width = new RefcountWidth((int)header.RefcountOrder);
        int perBlock = width.EntriesIn(block.Length);
        for (long i = 0; i < layout.Blocks; i++)
        {
            long place = (1 + layout.TableClusters + i) << clusterBits;
            BinaryPrimitives.WriteUInt64BigEndian(table.AsSpan((int)i * sizeof(ulong)), (ulong)place);
            block.AsSpan().Clear();
            for (int k = 0; k < Math.Min(perBlock, layout.Clusters - (i * perBlock)); k++)
            {
                width.Write(block, k, 1);
            }

            await file.WriteAsync(place, block).ConfigureAwait(false);
        }

        await file.WriteAsync((long)header.RefcountTableOffset, table).ConfigureAwait(false);
    }

    private static void Refuse(bool condition, string text)
    {
        if (condition)
        {
            throw new QmpException(text);
        }
    }

    private sealed class NoEvents : IEventSink
    {
        public static NoEvents Instance { get; } = new();

        public void Emit<TData>(string name, TData? data)
            where TData : class, IQapiOutput
        {
        }
    }

    /// <summary>Header, refcount table, refcount blocks, L1 table, in this order.</summary>
    private readonly record struct Layout(long TableClusters, long Blocks, long L1Clusters)
    {
        public long Clusters => 1 + TableClusters + Blocks + L1Clusters;

        public static Layout For(Qcow2Header header)
        {
            long perBlock = new RefcountWidth((int)header.RefcountOrder).EntriesIn(header.ClusterBytes);
            long l1 = DivideUp(header.L1Entries * (long)sizeof(ulong), header.ClusterBytes);
            var layout = new Layout(1, 1, l1);
            while (layout.Blocks * perBlock < layout.Clusters || layout.TableClusters * header.ClusterBytes < layout.Blocks * sizeof(ulong))
            {
                long blocks = DivideUp(layout.Clusters, perBlock);
                layout = new Layout(DivideUp(blocks * sizeof(ulong), header.ClusterBytes), blocks, l1);
            }

            return layout;
        }

        private static long DivideUp(long value, long unit) => (value + unit - 1) / unit;
    }
}
