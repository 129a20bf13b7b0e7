using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>nbd_server_remove</c>: ends an export.</summary>
internal sealed class NbdServerRemoveCommand(ExportCommands exports) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "nbd_server_remove";

    /// <inheritdoc/>
    public override string Help => "end an export of the NBD server; -f drops its clients";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [HmpParameter.Flag('f'), new("name", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => exports.NbdServerRemoveAsync(new NbdServerRemoveArguments
    {
        Name = arguments["name"],
        Mode = arguments.Has('f') ? BlockExportRemoveMode.Hard : null,
    });
}
