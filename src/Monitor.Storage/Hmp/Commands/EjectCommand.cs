using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>eject</c>: takes the medium out of a drive.</summary>
internal sealed class EjectCommand(BlockCommands blocks) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "eject";

    /// <inheritdoc/>
    public override string Help => "open a drive's tray and take its medium out; -f even if it is locked";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [HmpParameter.Flag('f'), new("device", HmpParameterKind.Device)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) =>
        blocks.EjectAsync(new EjectArguments { Device = arguments["device"], Force = arguments.Has('f') });
}
