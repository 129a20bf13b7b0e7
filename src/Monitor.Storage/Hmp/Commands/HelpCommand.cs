using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>help</c>: lists the commands.</summary>
internal sealed class HelpCommand(Func<HumanMonitor> monitor) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "help|?";

    /// <inheritdoc/>
    public override string Help => "list the commands, or describe one";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("command", HmpParameterKind.Text, true), new("subcommand", HmpParameterKind.Text, true)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        monitor().PrintHelp($"{arguments.Find("command")} {arguments.Find("subcommand")}", output);
        return default;
    }
}
