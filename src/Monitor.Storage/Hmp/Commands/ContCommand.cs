using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>cont</c>: the run state is running.</summary>
internal sealed class ContCommand(MachineRunState runState) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "cont|c";

    /// <inheritdoc/>
    public override string Help => "set the run state to running";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        runState.Continue();
        return default;
    }
}
