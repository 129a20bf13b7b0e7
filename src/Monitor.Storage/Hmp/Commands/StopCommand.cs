using System.Text;
using Monitor.Qapi;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>stop</c>: the run state is paused.</summary>
internal sealed class StopCommand(MachineRunState runState) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "stop|s";

    /// <inheritdoc/>
    public override string Help => "set the run state to paused; exports and jobs go on";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        runState.Stop(RunState.Paused);
        return default;
    }
}
