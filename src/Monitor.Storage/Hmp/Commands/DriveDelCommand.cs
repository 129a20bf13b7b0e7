using System.Text;
using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Commands;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>drive_del</c>: removes a drive, or a node. A device keeps its drive, without name and medium.</summary>
internal sealed class DriveDelCommand(DriveManager drives, BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "drive_del";

    /// <inheritdoc/>
    public override string Help => "remove a drive; what its device asks of it fails from now on";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("id", HmpParameterKind.Device)];

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        string id = arguments["id"];
        try
        {
            if (drives.Graph.Find(id) is not null)
            {
                await blockNodes.BlockdevDelAsync(new BlockdevDelArguments { NodeName = id });
                return;
            }

            using GraphChange change = await drives.Graph.ChangeAsync();
            await RemoveAsync(drives.Get(id));
        }
        catch (QmpException e)
        {
            output.Append($"{e.Message}\n");
        }
    }

    private Task RemoveAsync(Drive drive)
    {
        if (drive.Backend.HasMedium)
        {
            blockNodes.CheckNoJobUses(drive.Backend.Node);
        }

        if (drive.Device is null)
        {
            return drives.RemoveAsync(drive);
        }

        // Nobody can mend the drive any more: its errors may not stop the machine.
        drive.WriteErrorPolicy = BlockdevOnError.Report;
        drive.ReadErrorPolicy = BlockdevOnError.Report;
        return drives.HideAsync(drive);
    }
}
