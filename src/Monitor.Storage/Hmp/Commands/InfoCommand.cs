using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info</c>: its next word says about what; alone it lists those words.</summary>
internal sealed class InfoCommand(Func<HumanMonitor> monitor, IReadOnlyList<HmpCommand> subcommands) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "info";

    /// <inheritdoc/>
    public override string Help => "tell about something; alone, list about what";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpCommand> Subcommands => subcommands;

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        monitor().PrintHelp(Name, output);
        return default;
    }
}
