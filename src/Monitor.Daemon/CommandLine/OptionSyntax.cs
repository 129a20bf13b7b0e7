namespace Monitor.Daemon.CommandLine;

/// <summary>How one option is spelled.</summary>
/// <param name="Name">Which option it is.</param>
/// <param name="Word">After two dashes, or one.</param>
/// <param name="Letter">Its short form after one dash, if it has one.</param>
/// <param name="TakesValue">Whether a value follows, as the next argument or after <c>=</c>.</param>
/// <param name="IsEarly">Whether it counts wherever it stands, before all others.</param>
/// <param name="IsWhole">Whether it is known by its whole word only: qemu-storage-daemon has none of that name, and its users abbreviate.</param>
/// <param name="Before">What an abbreviation puts before its value, which is a file name then: its commas are doubled.</param>
internal sealed record OptionSyntax(
    OptionName Name, string Word, char? Letter = null, bool TakesValue = true, bool IsEarly = false, bool IsWhole = false, string? Before = null)
{
    /// <summary>The value as the option means it.</summary>
    /// <param name="given">As given.</param>
    public string ValueOf(string given) => Before is null ? given : Before + given.Replace(",", ",,", StringComparison.Ordinal);

    /// <summary>All options; those of qemu-storage-daemon spelled as there, then ours.</summary>
    public static readonly OptionSyntax[] All =
    [
        new(OptionName.Blockdev, "blockdev"),
        new(OptionName.Chardev, "chardev"),
        new(OptionName.Daemonize, "daemonize", TakesValue: false, IsEarly: true),
        new(OptionName.Device, "device", IsWhole: true),
        new(OptionName.Drive, "drive", IsWhole: true),
        new(OptionName.Export, "export"),
        new(OptionName.Help, "help", 'h', TakesValue: false, IsEarly: true),
        new(OptionName.Incoming, "incoming", IsWhole: true),
        new(OptionName.Monitor, "monitor"),
        new(OptionName.NbdServer, "nbd-server"),
        new(OptionName.Object, "object"),
        new(OptionName.Paused, "paused", 'S', TakesValue: false, IsWhole: true),
        new(OptionName.PidFile, "pidfile"),
        new(OptionName.Snapshot, "snapshot", TakesValue: false, IsWhole: true),
        new(OptionName.Trace, "trace", 'T', IsEarly: true),
        new(OptionName.Version, "version", 'V', TakesValue: false, IsEarly: true),
        new(OptionName.AddFd, "add-fd", IsWhole: true),
        new(OptionName.Compat, "compat", IsEarly: true, IsWhole: true),
        new(OptionName.ErrorCodes, "error-codes", TakesValue: false, IsEarly: true, IsWhole: true),
        new(OptionName.LogLevel, "log-level", IsEarly: true, IsWhole: true),
        new(OptionName.Qmp, "qmp", IsWhole: true),
        new(OptionName.Monitor, "mon", IsWhole: true),
        new(OptionName.MachineName, "name", IsWhole: true),
        new(OptionName.MachineUuid, "uuid", IsWhole: true),
        new(OptionName.QmpPretty, "qmp-pretty", IsWhole: true),
        new(OptionName.Drive, "hda", IsWhole: true, Before: "index=0,media=disk,file="),
        new(OptionName.Drive, "hdb", IsWhole: true, Before: "index=1,media=disk,file="),
        new(OptionName.Drive, "hdc", IsWhole: true, Before: "index=2,media=disk,file="),
        new(OptionName.Drive, "hdd", IsWhole: true, Before: "index=3,media=disk,file="),
        new(OptionName.Drive, "cdrom", IsWhole: true, Before: "index=2,media=cdrom,file="),
        new(OptionName.Drive, "fda", IsWhole: true, Before: "if=floppy,index=0,file="),
        new(OptionName.Drive, "fdb", IsWhole: true, Before: "if=floppy,index=1,file="),
        new(OptionName.Ignored, "accel", IsWhole: true),
        new(OptionName.Ignored, "append", IsWhole: true),
        new(OptionName.Ignored, "audio", IsWhole: true),
        new(OptionName.Ignored, "audiodev", IsWhole: true),
        new(OptionName.Ignored, "bios", IsWhole: true),
        new(OptionName.Ignored, "boot", IsWhole: true),
        new(OptionName.Ignored, "cpu", IsWhole: true),
        new(OptionName.Ignored, "D", 'D', IsWhole: true),
        new(OptionName.Ignored, "d", 'd', IsWhole: true),
        new(OptionName.Ignored, "display", IsWhole: true),
        new(OptionName.Ignored, "fw_cfg", IsWhole: true),
        new(OptionName.Ignored, "gdb", IsWhole: true),
        new(OptionName.Ignored, "global", IsWhole: true),
        new(OptionName.Ignored, "initrd", IsWhole: true),
        new(OptionName.Ignored, "k", 'k', IsWhole: true),
        new(OptionName.Ignored, "kernel", IsWhole: true),
        new(OptionName.Ignored, "L", 'L', IsWhole: true),
        new(OptionName.Ignored, "m", 'm', IsWhole: true),
        new(OptionName.Machine, "machine", 'M', IsWhole: true),
        new(OptionName.Ignored, "msg", IsWhole: true),
        new(OptionName.Ignored, "net", IsWhole: true),
        new(OptionName.Ignored, "netdev", IsWhole: true),
        new(OptionName.Ignored, "nic", IsWhole: true),
        new(OptionName.Ignored, "numa", IsWhole: true),
        new(OptionName.Ignored, "overcommit", IsWhole: true),
        new(OptionName.Ignored, "parallel", IsWhole: true),
        new(OptionName.Ignored, "rtc", IsWhole: true),
        new(OptionName.Ignored, "sandbox", IsWhole: true),
        new(OptionName.Ignored, "serial", IsWhole: true),
        new(OptionName.Ignored, "smbios", IsWhole: true),
        new(OptionName.Ignored, "smp", IsWhole: true),
        new(OptionName.Ignored, "vga", IsWhole: true),
        new(OptionName.Ignored, "vnc", IsWhole: true),
        new(OptionName.Ignored, "enable-kvm", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-acpi", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-fd-bootchk", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-hpet", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-reboot", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-shutdown", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "no-user-config", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "nodefaults", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "nographic", TakesValue: false, IsWhole: true),
        new(OptionName.Ignored, "usb", TakesValue: false, IsWhole: true),
    ];
}
