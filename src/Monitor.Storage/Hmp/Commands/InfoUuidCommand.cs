using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info uuid</c>: what the command line gave, or zeroes.</summary>
internal sealed class InfoUuidCommand(MachineIdentity identity) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "uuid";

    /// <inheritdoc/>
    public override string Help => "the UUID that -uuid gave, or zeroes";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        output.Append($"{identity.Uuid}\n");
        return default;
    }
}
