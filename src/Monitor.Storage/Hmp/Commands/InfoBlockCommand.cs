using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info block</c>: drives, or nodes with -n; a name chooses one of either.</summary>
internal sealed class InfoBlockCommand(BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "block";

    /// <inheritdoc/>
    public override string Help => "the drives, or the one named; -n nodes instead, -v with their images";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
        [HmpParameter.Flag('n'), HmpParameter.Flag('v'), new("device", HmpParameterKind.Device, true)];

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        string? wanted = arguments.Find("device");
        bool verbose = arguments.Has('v');
        if (!arguments.Has('n'))
        {
            IReadOnlyList<BlockInfo> drives = await blockNodes.QueryBlockAsync();
            for (int i = 0; i < drives.Count; i++)
            {
                if (wanted is null || wanted == drives[i].Device)
                {
                    output.Append(i > 0 ? "\n" : "");
                    PrintDrive(drives[i], verbose, output);
                }
            }
        }

        if (!arguments.Has('n') && (wanted is null || output.Length > 0))
        {
            return;
        }

        IReadOnlyList<BlockDeviceInfo> nodes = await blockNodes.QueryNamedBlockNodesAsync(new QueryNamedBlockNodesArguments());
        for (int i = 0; i < nodes.Count; i++)
        {
            if (wanted is null || wanted == nodes[i].NodeName)
            {
                output.Append(i > 0 ? "\n" : "").Append(nodes[i].NodeName);
                PrintInserted(nodes[i], verbose, output);
            }
        }
    }

    private static void PrintDrive(BlockInfo drive, bool verbose, StringBuilder output)
    {
        bool isNamed = drive.Device.Length > 0;
        output.Append(isNamed ? drive.Device : drive.Inserted?.NodeName ?? drive.Qdev ?? "<anonymous>");
        if (drive.Inserted is not { } inserted)
        {
            output.Append(": [not inserted]\n");
            PrintUser(drive, output);
            return;
        }

        output.Append(isNamed && inserted.NodeName is { } name ? $" ({name})" : "");
        PrintHead(inserted, output);
        PrintUser(drive, output);
        PrintBody(inserted, verbose, output);
    }

    private static void PrintUser(BlockInfo drive, StringBuilder output)
    {
        output.Append(drive.Qdev is { } qdev ? $"    Attached to:      {qdev}\n" : "");
        output.Append(drive.IoStatus is { } status and not BlockDeviceIoStatus.Ok ? $"    I/O status:       {status.ToWire()}\n" : "");
        if (drive.Removable)
        {
            output.Append($"    Removable device: {(drive.Locked ? "" : "not ")}locked, tray {(drive.TrayOpen == true ? "open" : "closed")}\n");
        }
    }

    private static void PrintInserted(BlockDeviceInfo node, bool verbose, StringBuilder output)
    {
        PrintHead(node, output);
        PrintBody(node, verbose, output);
    }

    private static void PrintHead(BlockDeviceInfo node, StringBuilder output) =>
        output.Append($": {node.File} ({node.Drv}{(node.Ro ? ", read-only" : "")}{(node.Active == false ? ", inactive" : "")}{(node.Encrypted ? ", encrypted" : "")})\n");

    private static void PrintBody(BlockDeviceInfo node, bool verbose, StringBuilder output)
    {
        BlockdevCacheInfo cache = node.Cache;
        output.Append($"    Cache mode:       {(cache.Writeback ? "writeback" : "writethrough")}");
        output.Append($"{(cache.Direct ? ", direct" : "")}{(cache.NoFlush ? ", ignore flushes" : "")}\n");
        output.Append(node.BackingFile is { } backing ? $"    Backing file:     {backing} (chain depth: {node.BackingFileDepth})\n" : "");
        output.Append(node.DetectZeroes != BlockdevDetectZeroesOptions.Off ? $"    Detect zeroes:    {node.DetectZeroes.ToWire()}\n" : "");
        PrintLimits(node, output);
        if (verbose)
        {
            output.Append("\nImages:\n");
            for (ImageInfo? image = node.Image; image is not null; image = image.BackingImage)
            {
                ImageText.Print(image, output);
            }
        }
    }

    private static void PrintLimits(BlockDeviceInfo node, StringBuilder output)
    {
        if ((node.Bps | node.BpsRd | node.BpsWr | node.Iops | node.IopsRd | node.IopsWr) == 0)
        {
            return;
        }

        output.Append($"    I/O throttling:   bps={node.Bps} bps_rd={node.BpsRd} bps_wr={node.BpsWr}");
        output.Append($" bps_max={node.BpsMax ?? 0} bps_rd_max={node.BpsRdMax ?? 0} bps_wr_max={node.BpsWrMax ?? 0}");
        output.Append($" iops={node.Iops} iops_rd={node.IopsRd} iops_wr={node.IopsWr}");
        output.Append($" iops_max={node.IopsMax ?? 0} iops_rd_max={node.IopsRdMax ?? 0} iops_wr_max={node.IopsWrMax ?? 0}");
        output.Append($" iops_size={node.IopsSize ?? 0} group={node.Group}\n");
    }
}
