using System.Text;
using Monitor.Storage.Hmp.QemuIo;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>qemu-io</c>: a command of the qemu-io tool on a node; prints what the tool would print.</summary>
internal sealed class QemuIoHmpCommand(QemuIoShell shell) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "qemu-io";

    /// <inheritdoc/>
    public override string Help => "carry out a command of qemu-io, such as \"read 0 4k\", on a node or drive; -d names it by its device";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
        [HmpParameter.Flag('d'), new("device", HmpParameterKind.Device), new("command", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) =>
        shell.RunAsync(arguments["device"], arguments.Has('d'), arguments["command"], output);
}
