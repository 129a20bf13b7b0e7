using System.Text;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>nbd_server_stop</c>: stops the NBD server.</summary>
internal sealed class NbdServerStopCommand(ExportCommands exports) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "nbd_server_stop";

    /// <inheritdoc/>
    public override string Help => "stop the NBD server; its clients are dropped";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => exports.NbdServerStopAsync();
}
