using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info version</c>: the QEMU version spoken, and by which program.</summary>
internal sealed class InfoVersionCommand(ControlCommands control) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "version";

    /// <inheritdoc/>
    public override string Help => "the version";

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        VersionInfo version = await control.QueryVersionAsync();
        output.Append($"{version.Qemu.Major}.{version.Qemu.Minor}.{version.Qemu.Micro}{version.Package}\n");
    }
}
