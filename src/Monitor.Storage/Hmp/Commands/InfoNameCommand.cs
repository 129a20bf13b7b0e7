using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info name</c>: prints nothing, since the daemon has no name.</summary>
internal sealed class InfoNameCommand : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "name";

    /// <inheritdoc/>
    public override string Help => "the name: none";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => default;
}
