namespace Monitor.Storage.Drives;

/// <summary>What kind of device a drive is for (<c>if=</c>), and the devices that come of themselves.</summary>
/// <param name="Name">The option's word.</param>
/// <param name="Number">QEMU's number of it, which is in an error text.</param>
/// <param name="UnitsPerBus">Drives on one bus; 0 where there is but one bus.</param>
/// <param name="NamesMedia">Whether the names of drives say disk or CD.</param>
/// <param name="Disk">The model that such a disk gets; null for none.</param>
/// <param name="Cd">The same for a CD.</param>
internal sealed record DriveInterface(string Name, int Number, int UnitsPerBus = 0, bool NamesMedia = false, string? Disk = null, string? Cd = null)
{
    /// <summary><c>none</c>: only a device that names the drive uses it.</summary>
    public static readonly DriveInterface None = new("none", 0);

    /// <summary><c>ide</c>, the default of a machine.</summary>
    public static readonly DriveInterface Ide = new("ide", 1, 2, true, "ide-hd", "ide-cd");

    /// <summary>Whether its devices know what to do about failed requests.</summary>
    public bool HasErrorPolicies => Name is "none" or "ide" or "scsi" or "virtio";

    private static readonly DriveInterface[] s_all =
    [
        None,
        Ide,
        new("scsi", 2, 7, true, "scsi-hd", "scsi-cd"),
        new("floppy", 3, 0, false, "floppy", "floppy"),
        new("pflash", 4),
        new("mtd", 5),
        new("sd", 6),
        new("virtio", 7, 0, false, "virtio-blk-pci", "virtio-blk-pci"),
        new("xen", 8),
    ];

    /// <summary>Finds it by its word.</summary>
    public static DriveInterface? Find(string name) => Array.Find(s_all, found => found.Name == name);

    /// <summary>The name of a drive that nobody named, such as <c>ide0-hd1</c> or <c>virtio0</c>.</summary>
    public string NameOf(int place, bool isCd)
    {
        string media = !NamesMedia ? "" : isCd ? "-cd" : "-hd";
        return UnitsPerBus > 0 ? $"{Name}{place / UnitsPerBus}{media}{place % UnitsPerBus}" : $"{Name}{media}{place}";
    }
}
