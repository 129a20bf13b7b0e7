using System.Text;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;
using Monitor.Storage.Commands;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>drive_add</c>: makes a drive that no device uses yet; with -n a node.</summary>
internal sealed class DriveAddCommand(DriveManager drives, BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "drive_add";

    /// <inheritdoc/>
    public override string Help => "make a drive of the options that --drive takes; -n makes a node";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
        [HmpParameter.Flag('n'), new("pci_addr", HmpParameterKind.Text), new("opts", HmpParameterKind.Text)];

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        try
        {
            if (arguments.Has('n'))
            {
                await blockNodes.BlockdevAddAsync(BlockdevOptions.Read(KeyvalParser.Parse(arguments["opts"], null), null));
                return;
            }

            DriveOptions options = DriveOptions.Parse(arguments["opts"], DriveInterface.Ide);
            output.Append(options.Warning is { } warning ? $"warning: {warning}\n" : "");
            if (options.Interface != DriveInterface.None)
            {
                throw new QmpException($"Can't hot-add drive to type {options.Interface.Number}");
            }

            await drives.AddAsync(options);
            output.Append("OK\n");
        }
        catch (QmpException e)
        {
            output.Append($"{e.Message}\n").Append(e.Hint is { } hint ? $"{hint}\n" : "");
        }
    }
}
