using System.Text;
using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using Monitor.Storage.Objects;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Monitor.Storage.Exports;

/// <summary>All exports by id, and the one NBD server. Its methods are turns.</summary>
/// <param name="graph">The nodes.</param>
/// <param name="objects">The iothreads that exports may name.</param>
/// <param name="devices">The drives that exports may name, and their devices.</param>
public sealed class ExportManager(BlockGraph graph, ObjectStore objects, DeviceManager devices)
{
    private readonly List<NbdExport> _exports = [];
    private NbdServer? _server;
    private bool _isServerStarting;

    /// <summary>The answer of <c>query-block-exports</c>, newest first.</summary>
    public IReadOnlyList<BlockExportInfo> Query() => _exports.ConvertAll(export => new BlockExportInfo
    {
        Id = export.Options.Id,
        Type = BlockExportType.Nbd,
        NodeName = export.Backend.HasMedium ? export.Backend.Node.NodeName : "",
        ShuttingDown = export.IsShuttingDown,
    });

    /// <summary>Starts the NBD server.</summary>
    /// <param name="address">Where it listens.</param>
    /// <param name="maxConnections">Connections at once; 0 is no limit.</param>
    /// <param name="handshakeSeconds">Seconds that a client may take to choose an export; 0 is no limit.</param>
    /// <exception cref="QmpException">It runs already, or cannot listen.</exception>
    public async ValueTask StartServerAsync(SocketAddress address, uint maxConnections, uint handshakeSeconds)
    {
        if (_server is not null || _isServerStarting)
        {
            throw new QmpException("NBD server already running");
        }

        _isServerStarting = true;
        try
        {
            _server = await NbdServer.StartAsync(address, maxConnections, handshakeSeconds: handshakeSeconds);
        }
        finally
        {
            _isServerStarting = false;
        }
    }

    /// <summary>Stops the NBD server: drops its clients and removes its exports.</summary>
    /// <exception cref="QmpException">It does not run.</exception>
    public async ValueTask StopServerAsync()
    {
        NbdServer server = _server ?? throw new QmpException("NBD server not running");
        _server = null;
        Task stopped = server.StopAsync();
        foreach (NbdExport export in _exports.ToArray())
        {
            await RemoveAsync(export, BlockExportRemoveMode.Hard);
        }

        await stopped;
    }

    /// <summary>Ends everything, as <see cref="StopServerAsync"/>, if there is anything.</summary>
    public ValueTask CloseAllAsync() => _server is null ? default : StopServerAsync();

    /// <summary>Exports a node, or a drive with whatever node it has.</summary>
    /// <exception cref="QmpException">The options cannot be met; nothing was changed.</exception>
    public async ValueTask AddAsync(BlockExportOptions options)
    {
        using GraphChange change = await graph.ChangeAsync();
        CheckNewId(options.Id);
        Drive? drive = options.Device is { } device ? FindDrive(device, options) : null;
        BlockNode node = drive?.Backend.Node ?? FindNode(options);
        CheckPlace(options, node);
        bool isWritable = options.Writable == true;
        bool allowsInactive = options.AllowInactive == true;
        if (!allowsInactive)
        {
            await BlockActivation.ActivateAsync(graph, [node]);
        }

        BlockBackend backend = drive?.Backend ?? AttachDoor(node, isWritable, allowsInactive);
        CountWriter(drive, isWritable ? 1 : 0);
        try
        {
            NbdServer server = _server ?? throw new QmpException("NBD server not running");
            if (drive is null)
            {
                graph.SetPermissions(backend, backend.Root!.Used, BlockPermission.All & ~BlockPermission.Resize);
            }

            var export = new NbdExport(backend, MakeOptions(options, node, server)) { Drive = drive };
            server.Add(export);
            _exports.Insert(0, export);
        }
        catch
        {
            await LetGoAsync(backend, drive, isWritable);
            throw;
        }
    }

    /// <summary>Asks for an export's removal; BLOCK_EXPORT_DELETED says when it is gone.</summary>
    /// <returns>Completes at once while clients that were dropped still have to leave.</returns>
    /// <exception cref="QmpException">There is none, it is going already, or it has clients and the mode is safe.</exception>
    public ValueTask DeleteAsync(string id, BlockExportRemoveMode mode)
    {
        NbdExport export = _exports.Find(export => export.Options.Id == id) ?? throw new QmpException($"Export '{id}' is not found");
        if (export.IsShuttingDown)
        {
            throw new QmpException($"Export '{id}' is already shutting down");
        }

        bool dropsClients = mode == BlockExportRemoveMode.Hard && export.ConnectionCount > 0;
        Task removal = RemoveAsync(export, mode);
        return dropsClients && !removal.IsFaulted ? default : new ValueTask(removal);
    }

    /// <summary>The bitmap of that name that is nearest to a node; one that goes on recording fits no export that promises not to change.</summary>
    private static DirtyBitmap FindInChain(BlockNode top, string name, bool writable)
    {
        for (BlockNode? node = top; node is not null; node = node.FilteredOrBacking?.Node)
        {
            if (node.Bitmaps.TryFind(name) is { } bitmap)
            {
                return writable || node.Settings.ReadOnly || !bitmap.IsEnabled
                    ? bitmap
                    : throw new QmpException($"Enabled bitmap '{name}' incompatible with readonly export");
            }
        }

        throw new QmpException($"Bitmap '{name}' is not found");
    }

    private static void CheckLength(string what, string text)
    {
        if (Encoding.UTF8.GetByteCount(text) > NbdProtocol.MaxStringBytes)
        {
            throw new QmpException($"{what} '{text}' too long");
        }
    }

    /// <summary>Lets a drive that no device uses write, or write no more, for the sake of its exports.</summary>
    private static void CountWriter(Drive? drive, int change)
    {
        if (drive is null || change == 0)
        {
            return;
        }

        drive.WritableExports += change;
        try
        {
            drive.ApplyPermissions();
        }
        catch
        {
            drive.WritableExports -= change;
            throw;
        }
    }

    private BlockNode FindNode(BlockExportOptions options)
    {
        string name = options.NodeName ?? throw new QmpException("Parameter 'node-name' is missing");
        return graph.Find(name) ?? throw new QmpException($"Cannot find device='' nor node-name='{name}'");
    }

    private Drive FindDrive(string device, BlockExportOptions options)
    {
        if (options.NodeName is not null)
        {
            throw new QmpException("Need exactly one of 'device' and 'node-name'");
        }

        Drive drive = devices.FindDrive(device) ?? throw new QmpException(QmpErrorClass.DeviceNotFound, $"Device '{device}' not found");
        if (!drive.Backend.HasMedium)
        {
            throw new QmpException($"Device '{device}' has no medium");
        }

        bool isReadOnly = drive.Device is not null && drive.Backend.IsReadOnly;
        return options.Writable == true && isReadOnly ? throw new QmpException("Cannot export read-only node as writable") : drive;
    }

    private BlockBackend AttachDoor(BlockNode node, bool isWritable, bool allowsInactive)
    {
        var door = new BlockBackend { AllowsInactive = allowsInactive };
        BlockPermission used = BlockPermission.ConsistentRead | (isWritable ? BlockPermission.Write : BlockPermission.None);
        graph.AttachRoot(door, node, used, BlockPermission.All);
        return door;
    }

    private void CheckNewId(string id)
    {
        if (!NodeName.IsWellFormed(id))
        {
            throw new QmpException("Invalid block export id");
        }

        if (_exports.Exists(export => export.Options.Id == id))
        {
            throw new QmpException($"Block export id '{id}' is already in use");
        }
    }

    private void CheckPlace(BlockExportOptions options, BlockNode node)
    {
        if (options.Writable == true && node.Settings.ReadOnly)
        {
            throw new QmpException("Cannot export read-only node as writable");
        }

        CheckIothreads(options);
    }

    private void CheckIothreads(BlockExportOptions options)
    {
        if (options.Iothread is not { } iothread)
        {
            return;
        }

        if (iothread.Multi is not null && options.FixedIothread == true)
        {
            throw new QmpException("Cannot use fixed-iothread for a multi-threaded export");
        }

        foreach (string id in iothread.Multi ?? [iothread.Single!])
        {
            if (!objects.HasIothread(id))
            {
                throw new QmpException($"iothread \"{id}\" not found");
            }
        }
    }

    private NbdExportOptions MakeOptions(BlockExportOptions options, BlockNode node, NbdServer server)
    {
        BlockExportOptionsNbd nbd = options.Nbd;
        string name = nbd.Name ?? options.Device ?? options.NodeName!;
        CheckLength("export name", name);
        CheckLength("description", nbd.Description ?? "");
        if (server.Find(name) is not null)
        {
            throw new QmpException($"NBD server already has export named '{name}'");
        }

        var bitmaps = new List<DirtyBitmap>();
        foreach (BlockDirtyBitmapOrStr bitmap in nbd.Bitmaps ?? [])
        {
            bitmaps.Add(bitmap.External is { } external ? FindExternal(external) : FindInChain(node, bitmap.Local!, options.Writable ?? false));
        }

        return new NbdExportOptions
        {
            Id = options.Id,
            Name = name,
            Description = nbd.Description,
            Writable = options.Writable ?? false,
            Writethrough = options.Writethrough ?? false,
            MultiConnection = server.MaxConnections != 1,
            AllocationDepth = nbd.AllocationDepth ?? false,
            Bitmaps = bitmaps,
        };
    }

    private DirtyBitmap FindExternal(BlockDirtyBitmap bitmap) =>
        (graph.TryLookup(bitmap.Node, bitmap.Node) ?? throw new QmpException($"Node '{bitmap.Node}' not found")).Bitmaps.Find(bitmap.Name);

    private async Task RemoveAsync(NbdExport export, BlockExportRemoveMode mode)
    {
        await EndClientsAsync(export, mode);
        if (_exports.Remove(export))
        {
            using (await graph.ChangeAsync())
            {
                await LetGoAsync(export.Backend, export.Drive, export.IsWritable);
            }

            graph.Events.BlockExportDeleted(export.Options.Id);
        }
    }

    /// <summary>Completes when no client of the export is left; none of their requests waits for <c>cont</c> meanwhile.</summary>
    private static async Task EndClientsAsync(NbdExport export, BlockExportRemoveMode mode)
    {
        Task removal = export.RemoveAsync(mode);
        export.Drive?.BeginLeaving();
        try
        {
            await removal;
        }
        finally
        {
            export.Drive?.EndLeaving();
        }
    }

    private async ValueTask LetGoAsync(BlockBackend backend, Drive? drive, bool isWritable)
    {
        if (drive is null)
        {
            await graph.DetachRootAsync(backend);
        }
        else
        {
            CountWriter(drive, isWritable ? -1 : 0);
        }
    }
}
