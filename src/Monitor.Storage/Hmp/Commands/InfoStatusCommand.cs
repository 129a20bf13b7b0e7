using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info status</c>: what stop and cont last set.</summary>
internal sealed class InfoStatusCommand(MachineRunState runState) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "status";

    /// <inheritdoc/>
    public override string Help => "the run state";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        output.Append(runState.IsRunning ? "VM status: running\n" : "VM status: paused\n");
        return default;
    }
}
