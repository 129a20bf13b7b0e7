using Monitor.Qapi;
using Monitor.Storage.Commands;

namespace Monitor.Storage.Drives;

/// <summary>How <c>query-block</c> shows a drive.</summary>
internal static class DriveDescription
{
    /// <summary>Describes a drive.</summary>
    public static BlockInfo Describe(Drive drive) => new()
    {
        Device = drive.Name,
        Qdev = drive.Device?.QdevName,
        Type = "unknown",
        Removable = drive.IsRemovable,
        Locked = false,
        Inserted = drive.Backend.HasMedium ? NodeDescription.Describe(drive.Backend.Node.SkipImplicit(), flat: false, drive) : null,
        TrayOpen = drive.HasTray ? drive.Device!.IsTrayOpen : null,
        IoStatus = drive.IoStatus,
    };
}
