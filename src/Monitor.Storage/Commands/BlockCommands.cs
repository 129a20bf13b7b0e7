using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>block</c>: media and limits of drives.</summary>
/// <param name="devices">The guest devices and their drives.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class BlockCommands(DeviceManager devices, DaemonLifetime lifetime) : IBlockCommands
{
    private DriveManager Drives => devices.Drives;

    private BlockGraph Graph => devices.Drives.Graph;

    /// <inheritdoc/>
    public ValueTask BlockSetIoThrottleAsync(BlockIOThrottle arguments)
    {
        Drive drive = devices.GetDrive(arguments.Device, arguments.Id);
        if (!drive.Backend.HasMedium)
        {
            throw new QmpException("Device has no medium");
        }

        Drives.SetLimits(drive, ConfigurationOf(arguments), arguments.Group, arguments.Device ?? arguments.Id!);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockLatencyHistogramSetAsync(BlockLatencyHistogramSetArguments arguments)
    {
        DriveStatistics statistics = devices.GetDriveOfDevice(arguments.Id).Statistics;
        (BlockRequestKind Kind, string Name, IReadOnlyList<ulong>? Boundaries)[] wanted =
        [
            (BlockRequestKind.Read, "read", arguments.BoundariesRead ?? arguments.Boundaries),
            (BlockRequestKind.Write, "write", arguments.BoundariesWrite ?? arguments.Boundaries),
            (BlockRequestKind.Flush, "flush", arguments.BoundariesFlush ?? arguments.Boundaries),
        ];
        bool clears = wanted.All(histogram => histogram.Boundaries is null);
        foreach (var (kind, name, boundaries) in wanted)
        {
            if ((clears || boundaries is not null) && !statistics.TrySetHistogram(kind, boundaries))
            {
                throw new QmpException($"Device '{arguments.Id}' set {name} boundaries fail");
            }
        }

        return default;
    }

    /// <inheritdoc/>
    public async ValueTask EjectAsync(EjectArguments arguments)
    {
        Drive drive = devices.GetDrive(arguments.Device, arguments.Id);
        DriveTray.Open(Graph, drive, arguments.Device ?? arguments.Id!);
        await TakeOutAsync(drive, arguments.Device ?? arguments.Id!);
    }

    /// <inheritdoc/>
    public ValueTask BlockdevOpenTrayAsync(BlockdevOpenTrayArguments arguments)
    {
        DriveTray.Open(Graph, devices.GetDrive(arguments.Device, arguments.Id), arguments.Device ?? arguments.Id!);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockdevCloseTrayAsync(BlockdevCloseTrayArguments arguments)
    {
        DriveTray.Close(Graph, devices.GetDrive(arguments.Device, arguments.Id), arguments.Device ?? arguments.Id!);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask BlockdevRemoveMediumAsync(BlockdevRemoveMediumArguments arguments) =>
        TakeOutAsync(devices.GetDriveOfDevice(arguments.Id), arguments.Id);

    /// <inheritdoc/>
    public async ValueTask BlockdevInsertMediumAsync(BlockdevInsertMediumArguments arguments)
    {
        lifetime.CheckRunning();
        using GraphChange change = await Graph.ChangeAsync();
        Drive drive = devices.GetDriveOfDevice(arguments.Id);
        BlockNode node = Graph.Find(arguments.NodeName) ?? throw new QmpException($"Node '{arguments.NodeName}' not found");
        if (node.Parents.Any(edge => edge.Parent is BlockBackend))
        {
            throw new QmpException($"Node '{arguments.NodeName}' is already in use");
        }

        PutIn(drive, node);
    }

    /// <inheritdoc/>
    public async ValueTask BlockdevChangeMediumAsync(BlockdevChangeMediumArguments arguments)
    {
        lifetime.CheckRunning();
        Drive drive = devices.GetDrive(arguments.Device, arguments.Id);
        drive.NoteMedium();
        bool isReadOnly = arguments.ReadOnlyMode switch
        {
            BlockdevChangeReadOnlyMode.ReadOnly => true,
            BlockdevChangeReadOnlyMode.ReadWrite => false,
            _ => drive.IsReadOnlyByDefault,
        };
        DriveOptions options = DriveOptions.OfMedium(arguments.Filename, arguments.Format);
        BlockdevOptions definition = await BlockThreads.RunAsync(() => options.ReadNode(isReadOnly));
        BlockNode medium = await BlockOpener.OpenAsync(Graph, definition, monitorOwned: false);
        medium.AdoptDriveOptions(drive.DetectsZeroes, copiesOnRead: false);
        try
        {
            string name = arguments.Device ?? arguments.Id!;
            DriveTray.Open(Graph, drive, name);
            await TakeOutAsync(drive, name);
            using GraphChange change = await Graph.ChangeAsync();
            PutIn(drive, medium);
            DriveTray.Close(Graph, drive, name);
        }
        finally
        {
            await Graph.ReleaseAsync(medium);
        }
    }

    private static ThrottleConfiguration ConfigurationOf(BlockIOThrottle limits) => new(
    [
        limits.Bps, limits.BpsMax ?? 0, limits.BpsMaxLength ?? 1,
        limits.BpsRd, limits.BpsRdMax ?? 0, limits.BpsRdMaxLength ?? 1,
        limits.BpsWr, limits.BpsWrMax ?? 0, limits.BpsWrMaxLength ?? 1,
        limits.Iops, limits.IopsMax ?? 0, limits.IopsMaxLength ?? 1,
        limits.IopsRd, limits.IopsRdMax ?? 0, limits.IopsRdMaxLength ?? 1,
        limits.IopsWr, limits.IopsWrMax ?? 0, limits.IopsWrMaxLength ?? 1,
        limits.IopsSize ?? 0,
    ]);

    /// <summary>Takes a medium out; nothing is to be done where there is none.</summary>
    private async ValueTask TakeOutAsync(Drive drive, string name)
    {
        using GraphChange change = await Graph.ChangeAsync();
        if (!drive.IsRemovable)
        {
            throw new QmpException($"Device '{name}' is not removable");
        }

        if (drive.HasTray && !drive.Device!.IsTrayOpen)
        {
            throw new QmpException($"Tray of device '{name}' is not open");
        }

        if (drive.Backend.HasMedium)
        {
            drive.NoteMedium();
            await Drives.EmptyAsync(drive);
        }
    }

    private static void PutIn(Drive drive, BlockNode node)
    {
        if (!drive.IsRemovable)
        {
            throw new QmpException("Device is not removable");
        }

        if (drive.HasTray && !drive.Device!.IsTrayOpen)
        {
            throw new QmpException("Tray of the device is not open");
        }

        if (drive.Backend.HasMedium)
        {
            throw new QmpException("There already is a medium in the device");
        }

        drive.Insert(node);
    }
}
