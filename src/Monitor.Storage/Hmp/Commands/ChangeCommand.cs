using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>change</c>: puts another image into a drive.</summary>
internal sealed class ChangeCommand(BlockCommands blocks) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "change";

    /// <inheritdoc/>
    public override string Help => "put an image file into a drive; -f even if its tray is locked";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
    [
        new("device", HmpParameterKind.Device),
        HmpParameter.Flag('f'),
        new("target", HmpParameterKind.Text),
        new("arg", HmpParameterKind.Text, true),
        new("read-only-mode", HmpParameterKind.Text, true),
    ];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        BlockdevChangeReadOnlyMode mode = BlockdevChangeReadOnlyMode.Retain;
        if (arguments.Find("read-only-mode") is { } word && !BlockdevChangeReadOnlyModeWire.TryParse(word, out mode))
        {
            throw new QmpException($"invalid parameter value: {word}");
        }

        return blocks.BlockdevChangeMediumAsync(new BlockdevChangeMediumArguments
        {
            Device = arguments["device"],
            Filename = arguments["target"],
            Format = arguments.Find("arg"),
            Force = arguments.Has('f'),
            ReadOnlyMode = mode,
        });
    }
}
