using Monitor.Jobs;
using Monitor.Qapi;
using Monitor.Storage.Drives;
using Monitor.Storage.Hmp;
using Monitor.Storage.Hmp.Commands;
using Monitor.Storage.Hmp.QemuIo;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>hmp</c>: lines of the human monitor.</summary>
public sealed class HmpCommands : IHmpCommands
{
    private readonly HumanMonitor _monitor;
    private readonly ControlCommands _control;

    /// <summary>Makes the human monitor over the commands that its lines stand for.</summary>
    /// <param name="jobs">All jobs; knows the graph.</param>
    /// <param name="control">The version and the end.</param>
    /// <param name="blockNodes">The nodes.</param>
    /// <param name="exports">The NBD server.</param>
    /// <param name="chardevs">The character devices.</param>
    /// <param name="runState">What <c>stop</c> and <c>cont</c> set.</param>
    /// <param name="identity">What the command line calls the machine.</param>
    /// <param name="transactions">Snapshots.</param>
    /// <param name="blocks">Media and limits of drives.</param>
    /// <param name="qdev">The guest devices come and go.</param>
    /// <param name="devices">The drives and who uses them.</param>
    public HmpCommands(
        JobManager jobs, ControlCommands control, BlockNodeCommands blockNodes, ExportCommands exports, CharCommands chardevs, MachineRunState runState,
        MachineIdentity identity, TransactionCommands transactions, BlockCommands blocks, QdevCommands qdev, DeviceManager devices)
    {
        _control = control;
        IReadOnlyList<HmpCommand> info =
        [
            new InfoBlockCommand(blockNodes),
            new InfoBlockJobsCommand(jobs),
            new InfoBlockstatsCommand(blockNodes),
            new InfoChardevCommand(chardevs),
            new InfoNameCommand(identity),
            new InfoSnapshotsCommand(devices.Drives),
            new InfoStatusCommand(runState),
            new InfoUuidCommand(identity),
            new InfoVersionCommand(control),
        ];
        _monitor = new HumanMonitor(
        [
            new BlockResizeHmpCommand(blockNodes),
            new BlockSetIoThrottleCommand(blocks),
            new ChangeCommand(blocks),
            new CommitCommand(devices.Drives, blockNodes),
            new ContCommand(runState),
            new EjectCommand(blocks),
            new DeviceAddCommand(qdev),
            new DeviceDelCommand(qdev),
            new DriveAddCommand(devices.Drives, blockNodes),
            new DriveDelCommand(devices.Drives, blockNodes),
            new HelpCommand(() => _monitor!),
            new InfoCommand(() => _monitor!, info),
            new NbdServerAddCommand(exports),
            new NbdServerRemoveCommand(exports),
            new NbdServerStartCommand(blockNodes, exports),
            new NbdServerStopCommand(exports),
            new QemuIoHmpCommand(new QemuIoShell(devices)),
            new QuitCommand(control),
            new SnapshotBlkdevCommand(transactions),
            new StopCommand(runState),
        ]);
    }

    /// <summary>Runs a line that a person typed; a turn.</summary>
    /// <returns>What it printed; <see langword="null"/> when the daemon is at its end.</returns>
    public async Task<string?> RunLineAsync(string line)
    {
        string output = await _monitor.RunAsync(line);
        return _control.IsEnding ? null : output;
    }

    /// <inheritdoc/>
    public ValueTask<string> HumanMonitorCommandAsync(HumanMonitorCommandArguments arguments) =>
        arguments.CpuIndex is null
            ? _monitor.RunAsync(arguments.CommandLine)
            : throw new QmpException("Parameter 'cpu-index' expects a CPU number");
}
