using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;

namespace Monitor.Storage.Transactions;

/// <summary><c>blockdev-backup</c>: to a node that is there.</summary>
internal sealed class BlockdevBackupAction(JobManager jobs, BlockdevBackup arguments, JobTransaction? group)
    : BackupAction(jobs, arguments, group)
{
    public override string ActionName => "blockdev-backup";

    protected override BlockNode FindTarget() => Graph.GetDeviceOrNode(Arguments.Target);
}
