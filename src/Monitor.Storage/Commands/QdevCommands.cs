using Monitor.Qapi;
using Monitor.Storage.Drives;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>qdev</c>: guest devices come and go.</summary>
/// <param name="devices">All devices.</param>
/// <param name="lifetime">Whether the daemon still takes work.</param>
public sealed class QdevCommands(DeviceManager devices, DaemonLifetime lifetime) : IQdevCommands
{
    private readonly List<DriveOptions> _awaitingDevice = [];

    /// <summary>Adds the module's commands to a table: <c>device_add</c> too, whose members only its device knows.</summary>
    public void Register(QmpCommandTable table)
    {
        QapiCommands.RegisterQdev(table, this);
        table.Add(new QmpCommand("device_add", QmpCommandOptions.None, (visitor, _) => DeviceAddAsync(QmpValue.Read(visitor, null))));
    }

    /// <inheritdoc/>
    public ValueTask DeviceDelAsync(DeviceDelArguments arguments) => new(devices.RemoveAsync(arguments.Id));

    /// <summary>What <c>device_add</c> of the human monitor asks for.</summary>
    internal Task AddDeviceAsync(string options)
    {
        lifetime.CheckRunning();
        return devices.AddAsync(LegacyOptions.Parse(options, "driver"), isHotplugged: true);
    }

    /// <summary>What <c>--device</c> asks for.</summary>
    public ValueTask AddAtStartAsync(string options) => new(devices.AddAsync(
        options.StartsWith('{') ? Members(QmpValue.Read(QmpInputVisitor.Parse(options), null)) : LegacyOptions.Parse(options, "driver"),
        isHotplugged: false));

    /// <summary>What <c>--drive</c> asks for; the device that comes of itself follows with <see cref="AddAwaitedDevicesAsync"/>.</summary>
    public async ValueTask AddDriveAtStartAsync(string options)
    {
        DriveOptions parsed = DriveOptions.Parse(options, DriveInterface.Ide);
        Drive drive = await devices.Drives.AddAsync(parsed);
        if (parsed.Interface.Name == "virtio")
        {
            _awaitingDevice.Add(parsed with { Id = drive.Name });
            return;
        }

        await devices.AddForDriveAsync(drive, parsed);
    }

    /// <summary>Makes the PCI devices of drives that want one; they come behind those that were asked for.</summary>
    public async ValueTask AddAwaitedDevicesAsync()
    {
        foreach (DriveOptions options in _awaitingDevice)
        {
            await devices.AddForDriveAsync(devices.Drives.Get(options.Id!), options);
        }
    }

    /// <summary>The members as text: a property knows what to make of it.</summary>
    private static Dictionary<string, string> Members(QmpValue value)
    {
        var members = new Dictionary<string, string>();
        foreach (var (name, member) in value.Children)
        {
            members[name] = member.Kind switch
            {
                QmpValueKind.Bool => member.Text == "true" ? "on" : "off",
                QmpValueKind.String or QmpValueKind.Number => member.Text,
                _ => throw new QmpException($"Invalid parameter type for '{name}', expected: string"),
            };
        }

        return members;
    }

    private ValueTask DeviceAddAsync(QmpValue arguments)
    {
        lifetime.CheckRunning();
        return new(devices.AddAsync(Members(arguments), isHotplugged: true));
    }
}
