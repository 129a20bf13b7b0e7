using System.Text;
using Monitor.Block;
using Monitor.Qapi;
using Monitor.Storage.Commands;
using Monitor.Storage.Drives;
using Monitor.Storage.Images;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>commit</c>: writes what a drive's image has of its own into its backing image.</summary>
internal sealed class CommitCommand(DriveManager drives, BlockNodeCommands blockNodes) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "commit";

    /// <inheritdoc/>
    public override string Help => "write what a drive's image, or every drive's, has of its own into its backing image";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters => [new("device|all", HmpParameterKind.Device)];

    /// <inheritdoc/>
    public override async ValueTask RunAsync(HmpArguments arguments, StringBuilder output)
    {
        string name = arguments["device|all"];
        using GraphChange change = await drives.Graph.ChangeAsync();
        if (name == "all")
        {
            foreach (Drive drive in drives.All.Where(drive => drive.Backend.HasMedium && drive.Backend.Node.SkipFilters().Backing is not null))
            {
                await CommitAsync(name, drive.Backend.Node.SkipFilters(), output);
            }
        }
        else if (drives.Find(name) is not { } drive)
        {
            output.Append($"Device '{name}' not found\n");
        }
        else if (!drive.Backend.HasMedium)
        {
            output.Append($"Device '{name}' has no medium\n");
        }
        else
        {
            await CommitAsync(name, drive.Backend.Node, output);
        }
    }

    private async Task CommitAsync(string name, BlockNode top, StringBuilder output)
    {
        try
        {
            if (top.Backing is null)
            {
                throw new BlockIoException(Errno.ENOTSUP);
            }

            CheckNoJob(top);
            await ImageCommit.RunAsync(drives.Graph, top);
        }
        catch (BlockIoException e)
        {
            output.Append($"'commit' error for '{name}': {Errno.Describe(e.Errno)}\n");
        }
        catch (QmpException e)
        {
            output.Append($"{e.Message}\n'commit' error for '{name}': {Errno.Describe(Errno.EPERM)}\n");
        }
    }

    private void CheckNoJob(BlockNode top)
    {
        try
        {
            blockNodes.CheckNoJobUses(top);
        }
        catch (QmpException)
        {
            throw new BlockIoException(Errno.EBUSY);
        }
    }
}
