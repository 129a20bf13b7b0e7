using System.Text;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>info uuid</c>: zeroes, since there is no virtual machine.</summary>
internal sealed class InfoUuidCommand : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "uuid";

    /// <inheritdoc/>
    public override string Help => "the UUID: zeroes";

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        output.Append($"{Guid.Empty}\n");
        return default;
    }
}
