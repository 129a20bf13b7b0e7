using System.Text;
using Monitor.Qapi;

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
        output.Append(runState.State switch
        {
            RunState.Running => "VM status: running\n",
            RunState.Paused => "VM status: paused\n",
            var state => $"VM status: paused ({state.ToWire()})\n",
        });
        return default;
    }
}
