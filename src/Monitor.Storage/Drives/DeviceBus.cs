namespace Monitor.Storage.Drives;

/// <summary>The kinds of bus.</summary>
internal enum DeviceBusKind
{
    /// <summary>PCI and PCI Express.</summary>
    Pci,

    /// <summary>ISA.</summary>
    Isa,

    /// <summary>SCSI.</summary>
    Scsi,

    /// <summary>IDE and SATA.</summary>
    Ide,

    /// <summary>A floppy controller's.</summary>
    Floppy,
}

/// <summary>A bus that devices are plugged into.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Kind">Its kind.</param>
/// <param name="Owner">The controller it belongs to; <see langword="null"/> when it was there from the beginning.</param>
internal sealed record DeviceBus(string Name, DeviceBusKind Kind, GuestDevice? Owner = null)
{
    /// <summary>Whether devices may come and go while a guest would run.</summary>
    public bool IsHotpluggable => Kind is DeviceBusKind.Pci or DeviceBusKind.Scsi;

    /// <summary>The kind's name in error texts.</summary>
    public static string NameOf(DeviceBusKind kind) => kind switch
    {
        DeviceBusKind.Pci => "PCI",
        DeviceBusKind.Isa => "ISA",
        DeviceBusKind.Scsi => "SCSI",
        DeviceBusKind.Ide => "IDE",
        _ => "floppy-bus",
    };
}
