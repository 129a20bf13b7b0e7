using Monitor.Block;
using Monitor.Block.Drivers.File;
using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Commands;

/// <summary>How <c>query-blockstats</c> shows a node.</summary>
internal static class BlockStatisticsDescription
{
    /// <summary>A node and the file below it.</summary>
    public static BlockStats Describe(BlockNode node) => new()
    {
        NodeName = node.NodeName,
        Stats = Describe(node.Statistics, node.HighestWriteEnd),
        DriverSpecific = node is FileNode file ? DescribeSpecific(file) : null,
        Parent = DataChild(node) is { } below ? Describe(below) : null,
    };

    /// <summary>A drive, its medium and all below.</summary>
    public static BlockStats Describe(Drive drive)
    {
        BlockNode? node = drive.Backend.HasMedium ? drive.Backend.Node.SkipImplicit() : null;
        return new BlockStats
        {
            Device = drive.Name,
            Qdev = drive.Device?.QdevName,
            NodeName = node?.NodeName,
            Stats = Describe(drive.Statistics.Counters, node?.HighestWriteEnd ?? 0, drive.Statistics),
            DriverSpecific = node is FileNode file ? DescribeSpecific(file) : null,
            Parent = node is null || DataChild(node) is not { } below ? null : DescribeChain(below),
            Backing = node is null || node.FilteredOrBacking?.Node is not { } backing ? null : DescribeChain(backing),
        };
    }

    /// <summary>The figures themselves. Requests are never merged here.</summary>
    /// <param name="counted">What was counted.</param>
    /// <param name="highestWriteEnd">End of the furthest write, in bytes.</param>
    /// <param name="drive">What a drive counts beside.</param>
    public static BlockDeviceStats Describe(BlockStatistics counted, long highestWriteEnd, DriveStatistics? drive = null) => new()
    {
        RdBytes = counted.Bytes(BlockRequestKind.Read),
        WrBytes = counted.Bytes(BlockRequestKind.Write),
        ZoneAppendBytes = 0,
        ZoneAppendOperations = 0,
        ZoneAppendTotalTimeNs = 0,
        ZoneAppendMerged = 0,
        FailedZoneAppendOperations = 0,
        InvalidZoneAppendOperations = 0,
        UnmapBytes = counted.Bytes(BlockRequestKind.Unmap),
        RdOperations = counted.Operations(BlockRequestKind.Read),
        WrOperations = counted.Operations(BlockRequestKind.Write),
        FlushOperations = counted.Operations(BlockRequestKind.Flush),
        UnmapOperations = counted.Operations(BlockRequestKind.Unmap),
        RdTotalTimeNs = counted.Nanoseconds(BlockRequestKind.Read),
        WrTotalTimeNs = counted.Nanoseconds(BlockRequestKind.Write),
        FlushTotalTimeNs = counted.Nanoseconds(BlockRequestKind.Flush),
        UnmapTotalTimeNs = counted.Nanoseconds(BlockRequestKind.Unmap),
        WrHighestOffset = highestWriteEnd,
        RdMerged = 0,
        WrMerged = 0,
        UnmapMerged = 0,
        IdleTimeNs = counted.IdleNanoseconds,
        FailedRdOperations = counted.Failed(BlockRequestKind.Read),
        FailedWrOperations = counted.Failed(BlockRequestKind.Write),
        FailedFlushOperations = counted.Failed(BlockRequestKind.Flush),
        FailedUnmapOperations = counted.Failed(BlockRequestKind.Unmap),
        InvalidRdOperations = counted.Invalid(BlockRequestKind.Read),
        InvalidWrOperations = counted.Invalid(BlockRequestKind.Write),
        InvalidFlushOperations = counted.Invalid(BlockRequestKind.Flush),
        InvalidUnmapOperations = counted.Invalid(BlockRequestKind.Unmap),
        AccountInvalid = drive?.AccountsInvalid ?? false,
        AccountFailed = drive?.AccountsFailed ?? false,
        TimedStats = drive is null ? [] : [.. drive.Intervals.Select(interval => interval.Describe()).Reverse()],
        RdLatencyHistogram = drive?.Histogram(BlockRequestKind.Read),
        WrLatencyHistogram = drive?.Histogram(BlockRequestKind.Write),
        FlushLatencyHistogram = drive?.Histogram(BlockRequestKind.Flush),
    };

    private static BlockStats DescribeChain(BlockNode node) => new()
    {
        NodeName = node.NodeName,
        Stats = Describe(node.Statistics, node.HighestWriteEnd),
        DriverSpecific = node is FileNode file ? DescribeSpecific(file) : null,
        Parent = DataChild(node) is { } below ? DescribeChain(below) : null,
        Backing = node.FilteredOrBacking?.Node is { } backing ? DescribeChain(backing) : null,
    };

    private static BlockStatsSpecific DescribeSpecific(FileNode file) => new()
    {
        Driver = file.IsDevice ? BlockdevDriver.HostDevice : BlockdevDriver.File,
        Branch = new BlockStatsSpecificFile
        {
            DiscardNbOk = (ulong)file.Discards.Done,
            DiscardNbFailed = (ulong)file.Discards.Failed,
            DiscardBytesOk = (ulong)file.Discards.Bytes,
        },
    };

    /// <summary>The one child that holds or shows the node's data; null if there is none, or more than one and none of them comes first.</summary>
    private static BlockNode? DataChild(BlockNode node)
    {
        const BlockChildRole HoldsData = BlockChildRole.Data | BlockChildRole.Filtered;
        if (node.FindChild(BlockChildRole.Primary) is { } primary && (primary.Role & HoldsData) != 0)
        {
            return primary.Node;
        }

        BlockNode? only = null;
        foreach (BlockChild child in node.Children)
        {
            if ((child.Role & HoldsData) != 0)
            {
                if (only is not null)
                {
                    return null;
                }

                only = child.Node;
            }
        }

        return only;
    }
}
