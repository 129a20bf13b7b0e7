using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Images;

namespace Monitor.Storage.Transactions;

/// <summary><c>drive-backup</c>: to a file, which is created or opened first; from then on a <c>blockdev-backup</c>.</summary>
internal sealed class DriveBackupAction(JobManager jobs, DriveBackup drive, JobTransaction? group)
    : BackupAction(jobs, WithoutFile(drive), group)
{
    private TargetImage? _image;
    private BlockNode? _target;

    public override string ActionName => "drive-backup";

    protected override bool TargetIsZero => _image!.IsZero;

    protected override MirrorSyncMode Sync => _image!.Sync;

    public override async ValueTask OpenAsync()
    {
        _image = new TargetImage(Graph, Graph.GetDeviceOrNode(drive.Device), drive.Sync)
        {
            FileName = drive.Target,
            Format = drive.Format,
            Mode = drive.Mode ?? NewImageMode.AbsolutePaths,
            DetectZeroes = BlockdevDetectZeroesOptions.Unmap,
            ReadsThroughSource = true,
        };
        _target = await _image.OpenAsync();
    }

    public override async ValueTask UndoOpenAsync()
    {
        await base.UndoOpenAsync();
        await _image!.ReleaseAsync();
    }

    protected override BlockNode FindTarget() => _target!;

    private static BlockdevBackup WithoutFile(DriveBackup drive) => new()
    {
        JobId = drive.JobId,
        Device = drive.Device,
        Sync = drive.Sync,
        Speed = drive.Speed,
        Bitmap = drive.Bitmap,
        BitmapMode = drive.BitmapMode,
        Compress = drive.Compress,
        OnSourceError = drive.OnSourceError,
        OnTargetError = drive.OnTargetError,
        AutoFinalize = drive.AutoFinalize,
        AutoDismiss = drive.AutoDismiss,
        FilterNodeName = drive.FilterNodeName,
        XPerf = drive.XPerf,
        DiscardSource = drive.DiscardSource,
        OnCbwError = drive.OnCbwError,
        Target = drive.Target,
    };
}
