namespace Monitor.Storage.Drives;

/// <summary>A model of guest device that uses a drive, or carries such devices.</summary>
/// <param name="Name">The wire's word.</param>
/// <param name="Bus">What it is plugged into.</param>
/// <param name="Properties">What can be said of it; <see langword="null"/> when anything may be, unread.</param>
internal sealed record DeviceModel(string Name, DeviceBusKind Bus, IReadOnlyList<DeviceProperty>? Properties)
{
    /// <summary>The bus that it offers to others.</summary>
    public DeviceBusKind? Offers { get; init; }

    /// <summary>How many buses it offers.</summary>
    public int OfferedBuses { get; init; } = 1;

    /// <summary>Whether the bus it offers has the device's id as its name, without a number behind it.</summary>
    public bool NamesBusById { get; init; }

    /// <summary>Whether it uses a drive.</summary>
    public bool TakesDrive => Offers is null;

    /// <summary>The type of its part that has the drive: its own, or that of the child below.</summary>
    public string DriveOwner { get; init; } = Name;

    /// <summary>The name of the child object that has the drive; <see langword="null"/> when the device itself has it.</summary>
    public string? BackendChild { get; init; }

    /// <summary>Whether there must be a drive.</summary>
    public bool NeedsDrive { get; init; }

    /// <summary>Whether its medium can be taken out.</summary>
    public bool IsRemovable { get; init; }

    /// <summary>Whether it has a tray.</summary>
    public bool HasTray { get; init; }

    /// <summary>What it writes.</summary>
    public DeviceWrites Writes { get; init; } = DeviceWrites.IfPossible;

    /// <summary>Whether others may change the size of its medium.</summary>
    public bool FollowsResize { get; init; }

    /// <summary>Whether it tells of failed requests by <c>io-status</c> and obeys error policies.</summary>
    public bool ReportsStatus { get; init; } = true;

    /// <summary>Every model, aliases under the model's own name left out.</summary>
    public static IReadOnlyList<DeviceModel> All { get; } =
    [
        VirtioBlk("virtio-blk-pci"),
        VirtioBlk("virtio-blk-pci-transitional"),
        VirtioBlk("virtio-blk-pci-non-transitional"),
        new("scsi-hd", DeviceBusKind.Scsi, DevicePropertyTables.ScsiHd) { NeedsDrive = true, FollowsResize = true },
        new("scsi-cd", DeviceBusKind.Scsi, DevicePropertyTables.ScsiCdDrive) { IsRemovable = true, HasTray = true, Writes = DeviceWrites.Never },
        new("ide-hd", DeviceBusKind.Ide, DevicePropertyTables.IdeHd) { NeedsDrive = true, FollowsResize = true, Writes = DeviceWrites.Always },
        new("ide-cd", DeviceBusKind.Ide, DevicePropertyTables.IdeCdDrive) { IsRemovable = true, HasTray = true, Writes = DeviceWrites.Never },
        new("floppy", DeviceBusKind.Floppy, DevicePropertyTables.Floppy) { IsRemovable = true, ReportsStatus = false },
        ScsiController("virtio-scsi-pci"),
        ScsiController("virtio-scsi-pci-transitional"),
        ScsiController("virtio-scsi-pci-non-transitional"),
        ScsiController("lsi53c895a"),
        ScsiController("lsi53c810"),
        ScsiController("megasas"),
        ScsiController("megasas-gen2"),
        ScsiController("mptsas1068"),
        ScsiController("pvscsi"),
        ScsiController("am53c974"),
        new("ich9-ahci", DeviceBusKind.Pci, null) { Offers = DeviceBusKind.Ide, OfferedBuses = 6 },
        new("isa-fdc", DeviceBusKind.Isa, null) { Offers = DeviceBusKind.Floppy },
        Port("pcie-root-port"),
        Port("ioh3420"),
        Port("pci-bridge"),
        Port("pcie-pci-bridge"),
        Port("x3130-upstream"),
        Port("xio3130-downstream"),
    ];

    /// <summary>Finds a model by its name or an alias; <see langword="null"/> when there is none.</summary>
    public static DeviceModel? Find(string name)
    {
        string wanted = name switch
        {
            "virtio-blk" => "virtio-blk-pci",
            "virtio-scsi" => "virtio-scsi-pci",
            "lsi" => "lsi53c895a",
            "ahci" => "ich9-ahci",
            _ => name,
        };
        return All.FirstOrDefault(model => model.Name == wanted);
    }

    private static DeviceModel VirtioBlk(string name) => new(name, DeviceBusKind.Pci, DevicePropertyTables.VirtioBlkPci)
    {
        DriveOwner = "virtio-blk-device",
        BackendChild = "virtio-backend",
        NeedsDrive = true,
        FollowsResize = true,
    };

    private static DeviceModel ScsiController(string name) => new(name, DeviceBusKind.Pci, null) { Offers = DeviceBusKind.Scsi };

    private static DeviceModel Port(string name) => new(name, DeviceBusKind.Pci, null) { Offers = DeviceBusKind.Pci, NamesBusById = true };
}

/// <summary>When a device writes to its drive.</summary>
internal enum DeviceWrites
{
    /// <summary>When the medium is writable.</summary>
    IfPossible,

    /// <summary>Always: a read-only medium is refused.</summary>
    Always,

    /// <summary>Never: a CD.</summary>
    Never,
}
