using System.Globalization;
using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>block_resize</c>: changes the size of a drive's medium.</summary>
internal sealed class BlockResizeHmpCommand(BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "block_resize";

    /// <inheritdoc/>
    public override string Help => "change the size of a drive's medium; a number without suffix is MiB";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("device", HmpParameterKind.Device), new("size", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        string text = arguments["size"];
        string withUnit = char.IsAsciiDigit(text[^1]) ? $"{text}M" : text;
        if (KeyvalScalar.ParseSize(Encoding.ASCII.GetBytes(withUnit)) is not { } size || size > long.MaxValue)
        {
            output.Append(CultureInfo.InvariantCulture, $"invalid size\nTry \"help {Name}\" for more information\n");
            return default;
        }

        return blockNodes.BlockResizeAsync(new BlockResizeArguments { Device = arguments["device"], Size = (long)size });
    }
}
