using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>The guest devices and their buses. Its methods are turns.</summary>
/// <remarks>
/// The machine is as small as can be: a PCI bus, six IDE buses of one disk and more, and what controllers bring. No guest looks at it, so a
/// device that is asked to go is gone at once.
/// </remarks>
/// <param name="drives">All drives.</param>
public sealed class DeviceManager(DriveManager drives)
{
    private const string Peripheral = "/machine/peripheral";
    private const int FirstUnattached = 18;

    private static readonly DeviceBus[] s_builtIn =
    [
        new("pci.0", DeviceBusKind.Pci), new("pcie.0", DeviceBusKind.Pci), new("isa.0", DeviceBusKind.Isa),
        new("ide.0", DeviceBusKind.Ide), new("ide.1", DeviceBusKind.Ide), new("ide.2", DeviceBusKind.Ide),
        new("ide.3", DeviceBusKind.Ide), new("ide.4", DeviceBusKind.Ide), new("ide.5", DeviceBusKind.Ide),
    ];

    private readonly List<GuestDevice> _devices = [];
    private readonly List<DeviceBus> _buses = [.. s_builtIn];
    private int _anonymous;
    private int _unattached;

    /// <summary>All devices, oldest first.</summary>
    public IReadOnlyList<GuestDevice> All => _devices;

    /// <summary>What devices use.</summary>
    public DriveManager Drives => drives;

    private BlockGraph Graph => drives.Graph;

    /// <summary>The drive that a command names by <c>device</c>, its name, or by <c>id</c>, its device.</summary>
    /// <exception cref="QmpException">There is none, or not exactly one of the two was given.</exception>
    public Drive GetDrive(string? device, string? id) => (device, id) switch
    {
        (null, null) or (not null, not null) => throw new QmpException("Need exactly one of 'device' and 'id'"),
        (not null, null) => drives.Get(device),
        _ => GetDriveOfDevice(id!),
    };

    /// <summary>The drive that a device uses.</summary>
    /// <exception cref="QmpException">There is no such device, or it uses none.</exception>
    public Drive GetDriveOfDevice(string id)
    {
        GuestDevice device = Find(id, out bool isBackend) ?? throw NotFound(id);
        bool hasDrive = device.Drive is not null && isBackend == device.Model.BackendChild is not null;
        return hasDrive ? device.Drive! : throw new QmpException("Device does not have a block device backend");
    }

    /// <summary>The drive of that name, or that of the device of that id or path; <see langword="null"/> when there is neither.</summary>
    public Drive? FindDrive(string nameOrDevice) => drives.Find(nameOrDevice) ?? Find(nameOrDevice, out _)?.Drive;

    /// <summary>Takes over what a machine of some type has built in: the oldest PCs have a floppy controller.</summary>
    /// <param name="options">The value of <c>-machine</c>.</param>
    public void TakeMachine(string options)
    {
        string type = LegacyOptions.Parse(options, "type").GetValueOrDefault("type", "");
        if (type == "pc" || type.StartsWith("pc-i440fx", StringComparison.Ordinal))
        {
            _buses.Add(new DeviceBus($"{DeviceBus.NameOf(DeviceBusKind.Floppy)}.0", DeviceBusKind.Floppy));
        }
    }

    /// <summary>Finds a device by its id or path.</summary>
    /// <param name="idOrPath">The id, the path, or either with the name of its child behind it.</param>
    /// <param name="isBackend">Whether the child that has the drive was meant.</param>
    public GuestDevice? Find(string idOrPath, out bool isBackend)
    {
        foreach (GuestDevice device in _devices)
        {
            string path = idOrPath.StartsWith('/') ? device.Path : device.Id ?? device.Path;
            isBackend = device.Model.BackendChild is { } child && idOrPath == $"{path}/{child}";
            if (isBackend || idOrPath == path)
            {
                return device;
            }
        }

        isBackend = false;
        return null;
    }

    /// <summary>Makes a device.</summary>
    /// <param name="properties">Its model as <c>driver</c>, its <c>id</c> and <c>bus</c>, and what else is said of it.</param>
    /// <param name="isHotplugged">Whether the daemon runs already.</param>
    /// <exception cref="QmpException">A property is unknown or malformed, or the device cannot be; nothing was changed.</exception>
    public Task AddAsync(IReadOnlyDictionary<string, string> properties, bool isHotplugged)
    {
        string? id = properties.GetValueOrDefault("id");
        if (id is not null && !NodeName.IsWellFormed(id))
        {
            throw new QmpException("Parameter 'id' expects an identifier");
        }

        string driver = properties.GetValueOrDefault("driver") ?? throw new QmpException("Parameter 'driver' is missing");
        DeviceModel model = DeviceModel.Find(driver) ?? throw new QmpException($"'{driver}' is not a valid device model name");
        DeviceBus bus = FindBus(model, properties.GetValueOrDefault("bus"));
        if (isHotplugged && !bus.IsHotpluggable)
        {
            throw new QmpException($"Bus '{bus.Name}' does not support hotplugging");
        }

        if (id is not null && _devices.Exists(device => device.Id == id))
        {
            throw new QmpException(isHotplugged ? $"Duplicate device ID '{id}'" : $"Duplicate ID '{id}' for device");
        }

        string path = id is null ? $"{Peripheral}-anon/device[{_anonymous}]" : $"{Peripheral}/{id}";
        return MakeAsync(new GuestDevice(model, id, path, isHotplugged) { Bus = bus }, properties);
    }

    /// <summary>Makes the device that comes of itself with a drive (<c>if=ide</c> and the like), if one does.</summary>
    /// <exception cref="QmpException">It cannot be.</exception>
    internal async Task AddForDriveAsync(Drive drive, DriveOptions options)
    {
        if ((options.IsCd ? options.Interface.Cd : options.Interface.Disk) is not { } name)
        {
            return;
        }

        DeviceModel model = DeviceModel.Find(name)!;
        if (model.Bus == DeviceBusKind.Pci)
        {
            await AddAsync(new Dictionary<string, string> { ["driver"] = name, ["drive"] = drive.Name }, isHotplugged: false);
            return;
        }

        string path = $"/machine/unattached/device[{FirstUnattached + _unattached++}]";
        await MakeAsync(new GuestDevice(model, null, path, isHotplugged: false), new Dictionary<string, string> { ["drive"] = drive.Name });
    }

    /// <summary>Removes a device; DEVICE_DELETED follows.</summary>
    /// <exception cref="QmpException">There is none, or it cannot go.</exception>
    public async Task RemoveAsync(string id)
    {
        GuestDevice device = Find(id, out bool isBackend) ?? throw NotFound(id);
        if (isBackend || device.Bus is not { IsHotpluggable: true })
        {
            throw new QmpException($"Bus '{(isBackend ? "virtio-bus" : device.Bus?.Name ?? "ide.0")}' does not support hotplugging");
        }

        _devices.Remove(device);
        List<DeviceBus> gone = _buses.FindAll(bus => bus.Owner == device);
        foreach (GuestDevice child in _devices.FindAll(child => gone.Contains(child.Bus!)))
        {
            await RemoveAsync(child.Id ?? child.Path);
        }

        _buses.RemoveAll(gone.Contains);
        if (device.Drive is { } drive)
        {
            await ReleaseAsync(drive);
        }

        DaemonLog.Info("Storage", $"device {device.Path} removed");
        Graph.Loop.Post(() => Announce(device));
    }

    private static QmpException NotFound(string id) => new(QmpErrorClass.DeviceNotFound, $"Device '{id}' not found");

    private void Announce(GuestDevice device)
    {
        if (device.Model.BackendChild is { } child)
        {
            Graph.Events.DeviceDeleted($"{device.Path}/{child}");
        }

        Graph.Events.DeviceDeleted(device.Path, device.Id);
    }

    private async Task ReleaseAsync(Drive drive)
    {
        using GraphChange change = await Graph.ChangeAsync();
        drive.Detach();
        await drives.RemoveAsync(drive);
    }

    private DeviceBus FindBus(DeviceModel model, string? wanted)
    {
        if (wanted is null)
        {
            return _buses.Find(bus => bus.Kind == model.Bus)
                ?? throw new QmpException($"No '{DeviceBus.NameOf(model.Bus)}' bus found for device '{model.Name}'");
        }

        DeviceBus found = _buses.Find(bus => bus.Name == wanted) ?? throw new QmpException($"Bus '{wanted}' not found");
        return found.Kind == model.Bus ? found : throw new QmpException($"Device '{model.Name}' can't go on {DeviceBus.NameOf(found.Kind)} bus");
    }

    private async Task MakeAsync(GuestDevice device, IReadOnlyDictionary<string, string> properties)
    {
        foreach (var (name, value) in properties)
        {
            if (name is not ("driver" or "id" or "bus" or "drive"))
            {
                device.Set(name, value);
            }
        }

        string drive = properties.GetValueOrDefault("drive", "");
        if (device.Model.NeedsDrive && drive.Length == 0)
        {
            throw new QmpException(device.Model.Bus == DeviceBusKind.Ide ? "No drive specified" : "drive property not set");
        }

        if (device.Model.TakesDrive)
        {
            using GraphChange change = await Graph.ChangeAsync();
            await AttachAsync(device, drive);
        }

        _devices.Add(device);
        _anonymous += device.Path.StartsWith($"{Peripheral}-anon", StringComparison.Ordinal) ? 1 : 0;
        AddBuses(device);
        DaemonLog.Info("Storage", $"device {device.Path} ({device.Model.Name}) added");
    }

    private async Task AttachAsync(GuestDevice device, string name)
    {
        Drive? existing = drives.Find(name);
        if (existing is { Device: not null })
        {
            throw new QmpException($"Drive '{name}' is already in use by another device");
        }

        BlockNode? node = existing is not null || name.Length == 0 ? null
            : Graph.Find(name) ?? throw new QmpException($"Property '{device.Model.DriveOwner}.drive' can't find value '{name}'");
        Drive drive = existing ?? drives.AddForDevice();
        try
        {
            if (node is not null)
            {
                drive.Insert(node);
            }

            if (device.Model.NeedsDrive && !drive.Backend.HasMedium)
            {
                throw new QmpException("Device needs media, but drive is empty");
            }

            BlockSizes.Check(device);
            drive.Attach(device);
        }
        catch
        {
            if (existing is null)
            {
                await drives.RemoveAsync(drive);
            }

            throw;
        }

        ApplyOptions(device, drive);
    }

    private static void ApplyOptions(GuestDevice device, Drive drive)
    {
        if (BlockdevOnErrorWire.TryParse(device.Get("werror").Text, out BlockdevOnError write) && write != BlockdevOnError.Auto)
        {
            drive.WriteErrorPolicy = write;
        }

        if (BlockdevOnErrorWire.TryParse(device.Get("rerror").Text, out BlockdevOnError read) && read != BlockdevOnError.Auto)
        {
            drive.ReadErrorPolicy = read;
        }

        drive.HasWriteCache = Switch(device, "write-cache", drive.HasWriteCache);
        drive.Statistics.AccountsFailed = Switch(device, "account-failed", drive.Statistics.AccountsFailed);
        drive.Statistics.AccountsInvalid = Switch(device, "account-invalid", drive.Statistics.AccountsInvalid);
    }

    private static bool Switch(GuestDevice device, string name, bool otherwise) => device.Get(name).Text switch
    {
        "on" => true,
        "off" => false,
        _ => otherwise,
    };

    private void AddBuses(GuestDevice device)
    {
        if (device.Model.Offers is not { } kind)
        {
            return;
        }

        if (device.Model.NamesBusById && device.Id is { } id)
        {
            _buses.Add(new DeviceBus(id, kind, device));
            return;
        }

        int first = _buses.Count(bus => bus.Kind == kind);
        for (int i = 0; i < device.Model.OfferedBuses; i++)
        {
            string name = device.Id is { } owner ? $"{owner}.{i}" : $"{DeviceBus.NameOf(kind).ToLowerInvariant()}.{first + i}";
            _buses.Add(new DeviceBus(name, kind, device));
        }
    }
}
