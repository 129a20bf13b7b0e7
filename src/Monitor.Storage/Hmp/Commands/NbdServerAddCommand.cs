using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>nbd_server_add</c>: exports a node.</summary>
internal sealed class NbdServerAddCommand(ExportCommands exports) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "nbd_server_add";

    /// <inheritdoc/>
    public override string Help => "export a node over NBD; -w lets clients write";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
        [HmpParameter.Flag('w'), new("device", HmpParameterKind.Device), new("name", HmpParameterKind.Text, true)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => exports.NbdServerAddAsync(new NbdServerAddOptions
    {
        Device = arguments["device"],
        Name = arguments.Find("name"),
        Writable = arguments.Has('w'),
    });
}
