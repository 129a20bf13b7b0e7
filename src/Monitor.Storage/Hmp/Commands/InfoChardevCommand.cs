using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info chardev</c>: the character devices.</summary>
internal sealed class InfoChardevCommand(CharCommands chardevs) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "chardev";

    /// <inheritdoc/>
    public override string Help => "the character devices";

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        foreach (ChardevInfo chardev in await chardevs.QueryChardevAsync())
        {
            output.Append($"{chardev.Label}: filename={chardev.Filename}\n");
        }
    }
}
