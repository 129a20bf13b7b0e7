using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>Opens and closes trays; each move is announced. No guest ever locks one.</summary>
internal static class DriveTray
{
    /// <summary>Opens a tray; nothing happens where there is none or it is open.</summary>
    /// <exception cref="QmpException">The medium cannot be taken out at all.</exception>
    public static void Open(BlockGraph graph, Drive drive, string name) => Move(graph, drive, name, isOpen: true);

    /// <summary>Closes a tray; nothing happens where there is none or it is closed.</summary>
    /// <exception cref="QmpException">The medium cannot be taken out at all.</exception>
    public static void Close(BlockGraph graph, Drive drive, string name) => Move(graph, drive, name, isOpen: false);

    private static void Move(BlockGraph graph, Drive drive, string name, bool isOpen)
    {
        if (!drive.IsRemovable)
        {
            throw new QmpException($"Device '{name}' is not removable");
        }

        if (drive.Device is { } device && drive.HasTray && device.IsTrayOpen != isOpen)
        {
            device.IsTrayOpen = isOpen;
            graph.Events.DeviceTrayMoved(drive.Name, device.QdevName, isOpen);
        }
    }
}
