namespace Monitor.Daemon.CommandLine;

/// <summary>How one option is spelled.</summary>
/// <param name="Name">Which option it is.</param>
/// <param name="Word">After two dashes, or one.</param>
/// <param name="Letter">Its short form after one dash, if it has one.</param>
/// <param name="TakesValue">Whether a value follows, as the next argument or after <c>=</c>.</param>
/// <param name="IsEarly">Whether it counts wherever it stands, before all others.</param>
/// <param name="IsMachines">Whether it is an emulator's: known by its whole word only.</param>
internal sealed record OptionSyntax(
    OptionName Name, string Word, char? Letter = null, bool TakesValue = true, bool IsEarly = false, bool IsMachines = false)
{
    /// <summary>All options; those of qemu-storage-daemon spelled as there, then ours.</summary>
    public static readonly OptionSyntax[] All =
    [
        new(OptionName.Blockdev, "blockdev"),
        new(OptionName.Chardev, "chardev"),
        new(OptionName.Daemonize, "daemonize", TakesValue: false, IsEarly: true),
        new(OptionName.Device, "device"),
        new(OptionName.Drive, "drive"),
        new(OptionName.Export, "export"),
        new(OptionName.Help, "help", 'h', TakesValue: false, IsEarly: true),
        new(OptionName.Incoming, "incoming"),
        new(OptionName.Monitor, "monitor"),
        new(OptionName.NbdServer, "nbd-server"),
        new(OptionName.Object, "object"),
        new(OptionName.Paused, "paused", 'S', TakesValue: false),
        new(OptionName.PidFile, "pidfile"),
        new(OptionName.Snapshot, "snapshot", TakesValue: false),
        new(OptionName.Trace, "trace", 'T', IsEarly: true),
        new(OptionName.Version, "version", 'V', TakesValue: false, IsEarly: true),
        new(OptionName.AddFd, "add-fd"),
        new(OptionName.Compat, "compat", IsEarly: true),
        new(OptionName.ErrorCodes, "error-codes", TakesValue: false, IsEarly: true),
        new(OptionName.LogLevel, "log-level", IsEarly: true),
        new(OptionName.Qmp, "qmp"),
        new(OptionName.Monitor, "mon", IsMachines: true),
        new(OptionName.Ignored, "accel", IsMachines: true),
        new(OptionName.Ignored, "cpu", IsMachines: true),
        new(OptionName.Ignored, "display", IsMachines: true),
        new(OptionName.Ignored, "enable-kvm", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "m", 'm', IsMachines: true),
        new(OptionName.Ignored, "machine", 'M', IsMachines: true),
        new(OptionName.Ignored, "no-reboot", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "no-shutdown", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "no-user-config", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "nodefaults", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "nographic", TakesValue: false, IsMachines: true),
        new(OptionName.Ignored, "sandbox", IsMachines: true),
        new(OptionName.Ignored, "smp", IsMachines: true),
        new(OptionName.Ignored, "vga", IsMachines: true),
    ];
}
