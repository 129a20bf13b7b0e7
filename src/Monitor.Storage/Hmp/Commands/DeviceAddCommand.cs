using System.Text;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>device_add</c>: makes a guest device.</summary>
internal sealed class DeviceAddCommand(QdevCommands devices) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "device_add";

    /// <inheritdoc/>
    public override string Help => "make a guest device: MODEL,id=ID,drive=DRIVE,...";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("device", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => new(devices.AddDeviceAsync(arguments["device"]));
}
