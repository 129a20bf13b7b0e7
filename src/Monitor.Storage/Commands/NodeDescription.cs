using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Block.Drivers.Blkdebug;
using Monitor.Block.Drivers.Blkverify;
using Monitor.Block.Drivers.File;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Nbd;
using Monitor.Block.Drivers.Null;
using Monitor.Block.Drivers.Qcow2;
using Monitor.Block.Drivers.Quorum;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Commands;

/// <summary>How the queries show a node: <c>BlockDeviceInfo</c> and the <c>ImageInfo</c> inside it.</summary>
internal static class NodeDescription
{
    /// <summary>Sizes are shown in whole sectors, as QEMU counts them.</summary>
    private const long SectorBytes = 512;

    /// <summary>Describes a node.</summary>
    /// <param name="node">The node.</param>
    /// <param name="flat">Leaves the images below it out.</param>
    /// <param name="drive">The drive that shows it as its medium, if one does.</param>
    public static BlockDeviceInfo Describe(BlockNode node, bool flat, Drive? drive = null)
    {
        ReadOnlySpan<long> limits = (drive?.Throttle?.Group.Configuration ?? ThrottleConfiguration.Unlimited).Values;
        return new BlockDeviceInfo
        {
            File = node.FileName,
            NodeName = node.NodeName,
            Ro = node.Settings.ReadOnly,
            Drv = node.DriverName,
            BackingFile = node.Backing?.Node.FileName,
            BackingFileDepth = flat ? 0 : BackingDepth(node),
            Children = ReplyExtensions.ShowsNewerMembers ? DescribeChildren(node) : null,
            Active = node.IsActive,
            Encrypted = false,
            DetectZeroes = ToWire(node.Settings.DetectZeroes),
            Bps = limits[0],
            BpsMax = Burst(limits, 0),
            BpsMaxLength = BurstSeconds(limits, 0),
            BpsRd = limits[3],
            BpsRdMax = Burst(limits, 3),
            BpsRdMaxLength = BurstSeconds(limits, 3),
            BpsWr = limits[6],
            BpsWrMax = Burst(limits, 6),
            BpsWrMaxLength = BurstSeconds(limits, 6),
            Iops = limits[9],
            IopsMax = Burst(limits, 9),
            IopsMaxLength = BurstSeconds(limits, 9),
            IopsRd = limits[12],
            IopsRdMax = Burst(limits, 12),
            IopsRdMaxLength = BurstSeconds(limits, 12),
            IopsWr = limits[15],
            IopsWrMax = Burst(limits, 15),
            IopsWrMaxLength = BurstSeconds(limits, 15),
            IopsSize = limits[ThrottleConfiguration.SizeIndex] > 0 ? limits[ThrottleConfiguration.SizeIndex] : null,
            Group = drive?.Throttle?.Group.Name,
            Image = DescribeImage(node, flat),
            Cache = new BlockdevCacheInfo { Writeback = drive?.HasWriteCache ?? true, Direct = node.Settings.CacheDirect, NoFlush = node.Settings.CacheNoFlush },
            WriteThreshold = (long)(node.WriteThreshold?.Offset ?? 0),
            DirtyBitmaps = DescribeBitmaps(node),
        };
    }

    private static long? Burst(ReadOnlySpan<long> limits, int index) => limits[index + 1] > 0 ? limits[index + 1] : null;

    private static long? BurstSeconds(ReadOnlySpan<long> limits, int index) => limits[index + 1] > 0 ? limits[index + 2] : null;

    private static ImageInfo DescribeImage(BlockNode node, bool flat)
    {
        BlockNode format = SkipTransparent(node);
        BackingImage? backing = node.BackingFromImage;
        BlockNode? below = node.FilteredOrBacking?.Node;
        return new ImageInfo
        {
            Filename = node.FileName,
            Format = node.DriverName,
            DirtyFlag = format is NullNode or SnapshotAccessNode or NbdNode or QuorumNode ? null : format is Qcow2Node { IsMarkedDirty: true },
            ActualSize = ActualSize(node),
            VirtualSize = (node.SizeBytes + SectorBytes - 1) & -SectorBytes,
            ClusterSize = format.ClusterSizeBytes > 0 ? format.ClusterSizeBytes : null,
            BackingFilename = backing?.FileName,
            FullBackingFilename = backing is null ? null : FullName(backing.FileName, node.MediumName),
            BackingFilenameFormat = backing?.Format,
            Snapshots = format is Qcow2Node image && image.ListSnapshots() is { Count: > 0 } snapshots ? [.. snapshots] : null,
            BackingImage = flat || below is null ? null : DescribeImage(below, flat),
            FormatSpecific = DescribeFormat(node),
        };
    }

    private static BlockDirtyInfo[]? DescribeBitmaps(BlockNode node)
    {
        IReadOnlyList<DirtyBitmapInfo> bitmaps = node.Bitmaps.List();
        if (bitmaps.Count == 0)
        {
            return null;
        }

        var described = new BlockDirtyInfo[bitmaps.Count];
        for (int i = 0; i < described.Length; i++)
        {
            described[i] = Describe(bitmaps[i]);
        }

        return described;
    }

    private static BlockDirtyInfo Describe(DirtyBitmapInfo bitmap) => new()
    {
        Name = bitmap.Name,
        Count = bitmap.CountBytes,
        Granularity = bitmap.Granularity,
        Recording = bitmap.Recording,
        Busy = bitmap.Busy,
        Persistent = bitmap.Persistent,
        Inconsistent = bitmap.Inconsistent ? true : null,
    };

    private static ImageInfoSpecific? DescribeFormat(BlockNode node) => node switch
    {
        Qcow2Node qcow2 => new()
        {
            Type = ImageInfoSpecificKind.Qcow2,
            Branch = new ImageInfoSpecificQCow2Wrapper { Data = qcow2.DescribeFormat() },
        },
        FileNode when ReplyExtensions.ShowsNewerMembers => new()
        {
            Type = ImageInfoSpecificKind.File,
            Branch = new ImageInfoSpecificFileWrapper { Data = new() },
        },
        _ => null,
    };

    private static BlockdevChild[] DescribeChildren(BlockNode node)
    {
        var described = new BlockdevChild[node.Children.Count];
        for (int i = 0; i < described.Length; i++)
        {
            described[i] = new BlockdevChild { Child = node.Children[i].Name, NodeName = node.Children[i].Node.NodeName };
        }

        return described;
    }

    private static BlockdevDetectZeroesOptions ToWire(DetectZeroesMode mode) => mode switch
    {
        DetectZeroesMode.Off => BlockdevDetectZeroesOptions.Off,
        DetectZeroesMode.On => BlockdevDetectZeroesOptions.On,
        _ => BlockdevDetectZeroesOptions.Unmap,
    };

    private static long BackingDepth(BlockNode node)
    {
        int depth = 0;
        for (BlockNode? below = node.FilteredOrBacking?.Node; below is not null; below = below.FilteredOrBacking?.Node)
        {
            depth++;
        }

        return depth;
    }

    /// <summary>The node whose layout a node shows: its own, or for filters and <c>raw</c> that of the node below.</summary>
    public static BlockNode SkipTransparent(BlockNode node)
    {
        while ((node.IsFilter || node.DriverName == "raw") && node.FindChild(BlockChildRole.Primary | BlockChildRole.Filtered) is { } child)
        {
            node = child.Node;
        }

        return node;
    }

    /// <summary>Bytes that the image takes up on the host, backing images not counted; null when the host does not say.</summary>
    private static long? ActualSize(BlockNode node)
    {
        if (node is FileNode file)
        {
            try
            {
                return file.AllocatedBytes;
            }
            catch (BlockIoException)
            {
                return null;
            }
        }

        long? sum = node is NbdNode or BlkdebugNode or BlkverifyNode ? null : 0;
        foreach (BlockChild child in node.Children)
        {
            bool holdsImage = (child.Role & (BlockChildRole.Data | BlockChildRole.Metadata | BlockChildRole.Filtered)) != 0;
            bool isOther = node.IsFilter && (child.Role & BlockChildRole.Filtered) == 0;
            sum += holdsImage && !isOther ? ActualSize(child.Node) : 0;
        }

        return sum;
    }

    private static string FullName(string backing, string image) =>
        backing.StartsWith('/') || backing.StartsWith("json:", StringComparison.Ordinal) || Path.GetDirectoryName(image) is not { Length: > 0 } folder
            ? backing
            : $"{folder}/{backing}";
}
