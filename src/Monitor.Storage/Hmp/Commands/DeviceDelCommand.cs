using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>device_del</c>: removes a guest device.</summary>
internal sealed class DeviceDelCommand(QdevCommands devices) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "device_del";

    /// <inheritdoc/>
    public override string Help => "remove a guest device";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("id", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) =>
        devices.DeviceDelAsync(new DeviceDelArguments { Id = arguments["id"] });
}
