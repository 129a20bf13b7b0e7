using System.Text;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>quit</c>: ends the daemon.</summary>
internal sealed class QuitCommand(ControlCommands control) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "quit|q";

    /// <inheritdoc/>
    public override string Help => "end the daemon";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => control.QuitAsync();
}
