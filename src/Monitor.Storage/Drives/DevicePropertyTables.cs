namespace Monitor.Storage.Drives;

/// <summary>The properties of the guest devices: their names, types and defaults as QEMU 7.2 tells them by introspection.</summary>
/// <remarks>A list is <c>name:type=default; …</c>. What a daemon without a guest can do with them is to keep and show them.</remarks>
internal static class DevicePropertyTables
{
    /// <summary>What disks and CDs of SCSI and IDE have.</summary>
    private const string Common = """
        account-failed:OnOffAuto=auto; account-invalid:OnOffAuto=auto; backend_defaults:OnOffAuto=auto; bootindex:int32=-1;
        logical_block_size:size=512; min_io_size:size=0; opt_io_size:size=0; physical_block_size:size=512; rerror:BlockdevOnError=auto;
        serial:str=; share-rw:bool=off; ver:str=2.5+; werror:BlockdevOnError=auto; write-cache:OnOffAuto=auto; wwn:uint64=0
        """;

    /// <summary>What both SCSI devices add.</summary>
    private const string Scsi = """
        channel:uint32=0; device_id:str=; discard_granularity:size=4096; lun:uint32=0; max_io_size:uint64=2147483647; port_index:uint16=0;
        port_wwn:uint64=0; quirk_mode_page_vendor_specific_apple:bool=off; scsi_version:int32=5; vendor:str=QEMU
        """;

    /// <summary>What a SCSI disk adds.</summary>
    private const string ScsiDisk = """
        cyls:uint32=0; dpofua:bool=off; heads:uint32=0; lcyls:uint32=0; lheads:uint32=0; lsecs:uint32=0; max_unmap_size:uint64=1073741824;
        product:str=QEMU HARDDISK; removable:bool=off; rotation_rate:uint16=0; scsi-id:uint32=0; secs:uint32=0
        """;

    /// <summary>What a SCSI CD adds.</summary>
    private const string ScsiCd = """
        product:str=QEMU CD-ROM; quirk_mode_page_apple_vendor:bool=off; quirk_mode_page_truncated:bool=off;
        quirk_mode_sense_rom_use_dbd:bool=off; scsi-id:uint32=1
        """;

    /// <summary>What both IDE devices add.</summary>
    private const string Ide = """
        discard_granularity:size=512; model:str=; unit:uint32=0
        """;

    /// <summary>What an IDE disk adds.</summary>
    private const string IdeDisk = """
        bios-chs-trans:BiosAtaTranslation=lba; cyls:uint32=0; heads:uint32=0; lcyls:uint32=0; lheads:uint32=0; lsecs:uint32=0;
        rotation_rate:uint16=0; secs:uint32=0
        """;

    /// <summary>All of a floppy.</summary>
    private const string FloppyOnly = """
        account-failed:OnOffAuto=auto; account-invalid:OnOffAuto=auto; backend_defaults:OnOffAuto=auto; discard_granularity:size=4294967295;
        drive-type:FdcDriveType=288; logical_block_size:size=512; min_io_size:size=0; opt_io_size:size=0; physical_block_size:size=512;
        share-rw:bool=off; unit:uint32=0; write-cache:OnOffAuto=auto
        """;

    /// <summary>All of the part of a virtio disk that has the drive.</summary>
    private const string VirtioBlk = """
        account-failed:OnOffAuto=auto; account-invalid:OnOffAuto=auto; any_layout:bool=on; backend_defaults:OnOffAuto=auto;
        bootindex:int32=-1; config-wce:bool=on; cyls:uint32=0; discard:bool=on; discard_granularity:size=4294967295; event_idx:bool=on;
        heads:uint32=0; indirect_desc:bool=on; iommu_platform:bool=off; iothread:link<iothread>=; lcyls:uint32=0; lheads:uint32=0;
        logical_block_size:size=512; lsecs:uint32=0; max-discard-sectors:uint32=4194303; max-write-zeroes-sectors:uint32=4194303;
        min_io_size:size=0; notify_on_empty:bool=on; num-queues:uint16=1; opt_io_size:size=0; packed:bool=off; physical_block_size:size=512;
        queue-size:uint16=256; queue_reset:bool=on; report-discard-granularity:bool=on; request-merging:bool=on; rerror:BlockdevOnError=auto;
        scsi:bool=off; secs:uint32=0; seg-max-adjust:bool=on; serial:str=; share-rw:bool=off; use-disabled-flag:bool=on; use-started:bool=on;
        werror:BlockdevOnError=auto; write-cache:OnOffAuto=auto; write-zeroes:bool=on; x-disable-legacy-check:bool=off;
        x-enable-wce-if-config-wce:bool=on
        """;

    /// <summary>What the PCI part of a virtio disk adds.</summary>
    private const string VirtioPci = """
        acpi-index:uint32=0; addr:int32=8; aer:bool=off; ats:bool=off; class:uint32=0; disable-legacy:OnOffAuto=off; disable-modern:bool=off;
        failover_pair_id:str=; ioeventfd:bool=on; legacy-addr:str=01.0; migrate-extra:bool=on; modern-pio-notify:bool=off;
        multifunction:bool=off; page-per-vq:bool=off; rombar:uint32=1; romfile:str=; romsize:uint32=4294967295; vectors:uint32=2;
        virtio-pci-bus-master-bug-migration:bool=off; x-ats-page-aligned:bool=on; x-disable-pcie:bool=off;
        x-ignore-backend-features:bool=off; x-pcie-deverr-init:bool=on; x-pcie-extcap-init:bool=on; x-pcie-flr-init:bool=on;
        x-pcie-lnkctl-init:bool=on; x-pcie-lnksta-dllla:bool=on; x-pcie-pm-init:bool=on
        """;

    /// <summary>Those of a virtio disk's part that has the drive.</summary>
    public static DeviceProperty[] VirtioBlkDevice { get; } = Parse(VirtioBlk);

    /// <summary>Those of a virtio disk on PCI: its own, and those of the part that has the drive.</summary>
    public static DeviceProperty[] VirtioBlkPci { get; } = Parse(VirtioPci, VirtioBlk);

    /// <summary>Those of a SCSI disk.</summary>
    public static DeviceProperty[] ScsiHd { get; } = Parse(Common, Scsi, ScsiDisk);

    /// <summary>Those of a SCSI CD.</summary>
    public static DeviceProperty[] ScsiCdDrive { get; } = Parse(Common, Scsi, ScsiCd);

    /// <summary>Those of an IDE disk.</summary>
    public static DeviceProperty[] IdeHd { get; } = Parse(Common, Ide, IdeDisk);

    /// <summary>Those of an IDE CD.</summary>
    public static DeviceProperty[] IdeCdDrive { get; } = Parse(Common, Ide);

    /// <summary>Those of a floppy.</summary>
    public static DeviceProperty[] Floppy { get; } = Parse(FloppyOnly);

    private static DeviceProperty[] Parse(params ReadOnlySpan<string> tables)
    {
        var properties = new List<DeviceProperty>();
        foreach (string table in tables)
        {
            foreach (string entry in table.Split([';', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
            {
                int colon = entry.IndexOf(':', StringComparison.Ordinal);
                int equals = entry.IndexOf('=', StringComparison.Ordinal);
                properties.Add(new DeviceProperty(entry[..colon], entry[(colon + 1)..equals], entry[(equals + 1)..]));
            }
        }

        return [.. properties];
    }
}
