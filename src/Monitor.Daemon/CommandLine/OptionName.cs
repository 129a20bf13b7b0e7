namespace Monitor.Daemon.CommandLine;

/// <summary>The options the program knows.</summary>
internal enum OptionName
{
    /// <summary>A word that belongs to no option.</summary>
    Word,
    Help,
    Version,
    Trace,
    Daemonize,
    Device,

    /// <summary>One of an emulator that says nothing about storage.</summary>
    Ignored,
    Drive,
    Incoming,
    Machine,
    MachineName,
    MachineUuid,
    Paused,
    Snapshot,
    LogLevel,
    AddFd,
    Blockdev,
    Chardev,
    Compat,
    ErrorCodes,
    Export,
    Monitor,
    NbdServer,
    Object,
    PidFile,
    Qmp,
    QmpPretty,
}
