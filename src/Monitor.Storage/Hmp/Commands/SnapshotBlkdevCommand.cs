using System.Text;
using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Hmp.Commands;

/// <summary><c>snapshot_blkdev</c>: puts an overlay on a drive's medium.</summary>
internal sealed class SnapshotBlkdevCommand(TransactionCommands transactions) : HmpCommand
{
    /// <inheritdoc/>
    public override string Name => "snapshot_blkdev";

    /// <inheritdoc/>
    public override string Help => "create an image on top of a drive's, which is written from now on; -n when the image exists";

    /// <inheritdoc/>
    public override IReadOnlyList<HmpParameter> Parameters =>
    [
        HmpParameter.Flag('n'),
        new("device", HmpParameterKind.Device),
        new("snapshot-file", HmpParameterKind.Text, true),
        new("format", HmpParameterKind.Text, true),
    ];

    /// <inheritdoc/>
    public override ValueTask RunAsync(HmpArguments arguments, StringBuilder output) => transactions.RunActionAsync(new TransactionAction
    {
        Type = TransactionActionKind.BlockdevSnapshotSync,
        Branch = new BlockdevSnapshotSyncWrapper
        {
            Data = new BlockdevSnapshotSync
            {
                Device = arguments["device"],
                SnapshotFile = arguments.Find("snapshot-file") ?? throw new QmpException("Parameter 'snapshot-file' is missing"),
                Format = arguments.Find("format"),
                Mode = arguments.Has('n') ? NewImageMode.Existing : NewImageMode.AbsolutePaths,
            },
        },
    });
}
