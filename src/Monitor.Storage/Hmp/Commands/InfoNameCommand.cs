using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info name</c>: what the command line gave; nothing without.</summary>
internal sealed class InfoNameCommand(MachineIdentity identity) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "name";

    /// <inheritdoc/>
    public override string Help => "the name that -name gave";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        output.Append(identity.Name is { } name ? $"{name}\n" : "");
        return default;
    }
}
