using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Exports;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>export</c>.</summary>
/// <param name="graph">The nodes.</param>
/// <param name="exports">All exports and the NBD server.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class ExportCommands(BlockGraph graph, ExportManager exports, DaemonLifetime lifetime) : IExportCommands
{
    /// <summary>Clients that the NBD server has at once when nothing else is said.</summary>
    public const uint DefaultMaxConnections = 100;

    /// <inheritdoc/>
    public ValueTask NbdServerStartAsync(NbdServerStartArguments arguments) =>
        StartServerAsync(Flatten(arguments.Addr), arguments.MaxConnections, arguments.HandshakeMaxSeconds);

    /// <summary>What <c>--nbd-server</c> asks for.</summary>
    public ValueTask StartServerAsync(NbdServerOptions options) =>
        StartServerAsync(options.Addr, options.MaxConnections, options.HandshakeMaxSeconds);

    /// <inheritdoc/>
    public ValueTask NbdServerStopAsync() => exports.StopServerAsync();

    /// <inheritdoc/>
    public ValueTask NbdServerAddAsync(NbdServerAddOptions arguments)
    {
        lifetime.CheckRunning();
        BlockNode node = graph.GetDeviceOrNode(arguments.Device);
        string name = arguments.Name ?? arguments.Device;
        return exports.AddAsync(new BlockExportOptions
        {
            Type = BlockExportType.Nbd,
            Id = name,
            NodeName = node.NodeName,
            Writable = arguments.Writable == true && !node.Settings.ReadOnly,
            Branch = new BlockExportOptionsNbd
            {
                Name = name,
                Description = arguments.Description,
                Bitmaps = arguments.Bitmap is { } bitmap ? [new BlockDirtyBitmapOrStr { Local = bitmap }] : null,
            },
        });
    }

    /// <inheritdoc/>
    public ValueTask NbdServerRemoveAsync(NbdServerRemoveArguments arguments) =>
        exports.DeleteAsync(arguments.Name, arguments.Mode ?? BlockExportRemoveMode.Safe);

    /// <inheritdoc/>
    public ValueTask BlockExportAddAsync(BlockExportOptions arguments)
    {
        lifetime.CheckRunning();
        return exports.AddAsync(arguments);
    }

    /// <inheritdoc/>
    public ValueTask BlockExportDelAsync(BlockExportDelArguments arguments) =>
        exports.DeleteAsync(arguments.Id, arguments.Mode ?? BlockExportRemoveMode.Safe);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<BlockExportInfo>> QueryBlockExportsAsync() => new(exports.Query());

    private ValueTask StartServerAsync(SocketAddress address, uint? maxConnections, uint? handshakeSeconds)
    {
        lifetime.CheckRunning();
        return exports.StartServerAsync(address, maxConnections ?? DefaultMaxConnections, handshakeSeconds ?? NbdServer.DefaultHandshakeSeconds);
    }

    private static SocketAddress Flatten(SocketAddressLegacy address) => new()
    {
        Type = address.Type,
        Branch = address.Type switch
        {
            SocketAddressType.Inet => address.Inet.Data,
            SocketAddressType.Unix => address.Unix.Data,
            SocketAddressType.Vsock => address.Vsock.Data,
            _ => address.Fd.Data,
        },
    };
}
