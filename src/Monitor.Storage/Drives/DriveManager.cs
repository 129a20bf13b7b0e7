using Monitor.Block;
using Monitor.Block.Io;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Drives;

/// <summary>All drives, in the order they came. Its methods are turns.</summary>
public sealed class DriveManager
{
    private readonly List<Drive> _drives = [];
    private readonly MachineRunState _runState;
    private readonly DriveThrottling _throttling;

    /// <summary>Makes an empty list.</summary>
    /// <param name="graph">The nodes.</param>
    /// <param name="runState">What error policies stop.</param>
    public DriveManager(BlockGraph graph, MachineRunState runState)
    {
        Graph = graph;
        _runState = runState;
        _throttling = new DriveThrottling(graph.ThrottleGroups);
        runState.Resuming = () => _drives.ForEach(drive => drive.ResetIoStatus());
    }

    /// <summary>All drives.</summary>
    public IReadOnlyList<Drive> All => _drives;

    /// <summary>Whether drives made from now on throw away what is written to them (<c>--snapshot</c>).</summary>
    public bool DiscardsWrites { get; set; }

    internal BlockGraph Graph { get; }

    /// <summary>The drive of that name; <see langword="null"/> when there is none.</summary>
    public Drive? Find(string name) => name.Length == 0 ? null : _drives.Find(drive => drive.Name == name);

    /// <summary>The drive of that name.</summary>
    /// <exception cref="QmpException">There is none.</exception>
    public Drive Get(string name) => Find(name) ?? throw new QmpException(QmpErrorClass.DeviceNotFound, $"Device '{name}' not found");

    /// <summary>Makes a drive and opens its medium, if the options name one.</summary>
    /// <exception cref="QmpException">The medium cannot be opened, or the name is taken; nothing was changed.</exception>
    internal async Task<Drive> AddAsync(DriveOptions options)
    {
        int place = ChoosePlace(options);
        string name = options.Id ?? options.Interface.NameOf(place, options.IsCd);
        CheckNewName(name);
        var drive = new Drive(Graph, _runState, isLegacy: true)
        {
            WriteErrorPolicy = options.WriteErrorPolicy,
            ReadErrorPolicy = options.ReadErrorPolicy,
            HasWriteCache = options.HasWriteCache,
            IsReadOnlyByDefault = options.IsReadOnly,
            Place = (options.Interface, place),
        };
        drive.Backend.Description = $"block device '{name}'";
        drive.Statistics.AccountsFailed = options.AccountsFailed;
        drive.Statistics.AccountsInvalid = options.AccountsInvalid;
        drive.Statistics.Intervals = [.. options.Intervals.Select(seconds => new IntervalStatistics(Graph.Time, seconds))];
        Graph.SetName(drive.Backend, name);
        try
        {
            if (!options.IsEmpty)
            {
                await OpenAsync(drive, options);
            }
        }
        catch
        {
            Graph.SetName(drive.Backend, "");
            throw;
        }

        _drives.Add(drive);
        if (options.Limits.IsLimited)
        {
            _throttling.SetLimits(drive, options.Limits, options.ThrottleGroup, name);
        }

        if (options.Warning is { } warning)
        {
            DaemonLog.Warn("Storage", $"drive {name}: {warning}");
        }

        DaemonLog.Info("Storage", $"drive {name} added");
        return drive;
    }

    /// <summary>Makes a drive without a name for a device.</summary>
    internal Drive AddForDevice()
    {
        var drive = new Drive(Graph, _runState, isLegacy: false);
        _drives.Add(drive);
        return drive;
    }

    /// <summary>Sets the limits of a drive's requests, and of all in its group.</summary>
    /// <param name="drive">The drive.</param>
    /// <param name="limits">The limits; none take the drive out of its group.</param>
    /// <param name="group">The group; null for that which it is in, or one of its own.</param>
    /// <param name="ownName">The name of a group of its own.</param>
    internal void SetLimits(Drive drive, ThrottleConfiguration limits, string? group, string ownName) =>
        _throttling.SetLimits(drive, limits, group, ownName);

    /// <summary>Ends a drive: its requests fail, its node is let go.</summary>
    internal async Task RemoveAsync(Drive drive)
    {
        _drives.Remove(drive);
        Graph.SetName(drive.Backend, "");
        _throttling.Leave(drive);
        await EmptyAsync(drive);
        DaemonLog.Info("Storage", $"drive {drive.DisplayName} removed");
    }

    /// <summary>Takes a drive's name away; its device keeps it, without a medium. Nameless, nobody can add to it any more.</summary>
    internal async Task HideAsync(Drive drive)
    {
        Graph.SetName(drive.Backend, "");
        await EmptyAsync(drive);
    }

    /// <summary>Takes the node out of a drive; requests that come now fail.</summary>
    internal async Task EmptyAsync(Drive drive)
    {
        drive.BeginLeaving();
        try
        {
            await Graph.RemoveMediumAsync(drive.Backend);
        }
        finally
        {
            drive.EndLeaving();
        }
    }

    /// <summary>Fails what waits for <c>cont</c>, from now on at once: the daemon ends.</summary>
    public void AbandonParked() => _runState.End();

    /// <summary>Removes every drive.</summary>
    public async Task CloseAllAsync()
    {
        foreach (Drive drive in _drives.ToArray())
        {
            await RemoveAsync(drive);
        }
    }

    /// <summary>Points a drive at another node, while requests come: they wait, and go on there.</summary>
    /// <exception cref="QmpException">A conflict; nothing was changed.</exception>
    internal async Task RepointAsync(Drive drive, BlockNode node)
    {
        if (!drive.Backend.HasMedium)
        {
            drive.Insert(node);
            return;
        }

        ValueTask released;
        using (await Graph.DrainAsync(drive.Backend.Node, node))
        {
            released = Graph.ReplaceChildAsync(drive.Backend.Root!, node);
        }

        await released;
        DaemonLog.Info("Storage", $"drive {drive.DisplayName} now uses node {node.NodeName}");
    }

    private void CheckNewName(string name)
    {
        if (Find(name) is not null)
        {
            throw new QmpException($"Duplicate ID '{name}' for drive");
        }
    }

    /// <summary>The place that was asked for, or the first free one.</summary>
    private int ChoosePlace(DriveOptions options)
    {
        DriveInterface kind = options.Interface;
        int perBus = Math.Max(kind.UnitsPerBus, 1);
        int? wanted = options.Index ?? (options.Unit is { } unit ? (options.Bus * perBus) + unit : null);
        if (wanted is { } place)
        {
            return IsFree(place) ? place : throw new QmpException($"drive with bus={place / perBus}, unit={place % perBus} (index={place}) exists");
        }

        int free = options.Bus * perBus;
        while (!IsFree(free))
        {
            free++;
        }

        return free;

        bool IsFree(int index) => !_drives.Exists(drive => drive.Place is { } taken && taken.Kind == kind && taken.Index == index);
    }

    private async Task OpenAsync(Drive drive, DriveOptions options)
    {
        bool isTemporary = options.IsSnapshot || DiscardsWrites;
        BlockdevOptions definition = await BlockThreads.RunAsync(() => options.ReadNode(isTemporary || options.IsReadOnly));
        BlockNode node = await BlockOpener.OpenAsync(Graph, definition, monitorOwned: false);
        try
        {
            if (isTemporary)
            {
                node = await TemporaryOverlay.OpenAsync(Graph, node);
            }

            node.AdoptDriveOptions(options.DetectsZeroes, options.CopiesOnRead);

            using GraphChange change = await Graph.ChangeAsync();
            drive.Insert(node);
        }
        catch
        {
            await Graph.ReleaseAsync(node);
            throw;
        }
    }
}
