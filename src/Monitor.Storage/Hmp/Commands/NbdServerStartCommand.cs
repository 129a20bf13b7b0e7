using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>nbd_server_start</c>: starts the NBD server, with -a exports every drive.</summary>
internal sealed class NbdServerStartCommand(BlockNodeCommands blockNodes, ExportCommands exports) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "nbd_server_start";

    /// <inheritdoc/>
    public override string Help => "start the NBD server at HOST:PORT, unix:PATH or fd:NAME; -a exports every drive, -w lets clients write to them";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
        [HmpParameter.Flag('a'), HmpParameter.Flag('w'), new("address", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        bool isWritable = arguments.Has('w');
        if (isWritable && !arguments.Has('a'))
        {
            throw new QmpException("-w only valid together with -a");
        }

        await exports.StartServerAsync(new NbdServerOptions { Addr = ParseAddress(arguments["address"]) });
        if (arguments.Has('a'))
        {
            await ExportDrivesAsync(isWritable);
        }
    }

    private static SocketAddress ParseAddress(string text)
    {
        if (text.StartsWith("unix:", StringComparison.Ordinal))
        {
            return new SocketAddress { Type = SocketAddressType.Unix, Branch = new UnixSocketAddress { Path = text[5..] } };
        }

        if (text.StartsWith("fd:", StringComparison.Ordinal))
        {
            return new SocketAddress { Type = SocketAddressType.Fd, Branch = new FdSocketAddress { Str = text[3..] } };
        }

        int colon = text.LastIndexOf(':');
        return colon >= 0 && colon + 1 < text.Length
            ? new SocketAddress
            {
                Type = SocketAddressType.Inet,
                Branch = new InetSocketAddress { Host = text[..colon].Trim('[', ']'), Port = text[(colon + 1)..] },
            }
            : throw new QmpException($"error parsing address '{text}'");
    }

    private async ValueTask ExportDrivesAsync(bool isWritable)
    {
        try
        {
            foreach (BlockInfo drive in await blockNodes.QueryBlockAsync())
            {
                if (drive.Inserted is not null)
                {
                    await exports.NbdServerAddAsync(new NbdServerAddOptions { Device = drive.Device, Writable = isWritable });
                }
            }
        }
        catch (QmpException)
        {
            await exports.NbdServerStopAsync();
            throw;
        }
    }
}
