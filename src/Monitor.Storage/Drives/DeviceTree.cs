using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>The guest devices in the tree of objects: <c>/machine</c>, its containers, the devices and their children.</summary>
/// <param name="devices">The devices.</param>
internal sealed class DeviceTree(DeviceManager devices)
{
    private const string Machine = "/machine";

    private static readonly string[] s_containers = ["peripheral", "peripheral-anon", "unattached"];

    /// <summary>Whether a path leads to the machine or into it.</summary>
    public bool Contains(string path) => IsContainer(path) || devices.Find(path, out _) is not null;

    /// <summary>The properties of the object at a path that <see cref="Contains"/>.</summary>
    public List<ObjectPropertyInfo> List(string path)
    {
        var listed = new List<ObjectPropertyInfo> { new() { Name = "type", Type = "string" } };
        if (devices.Find(path, out bool isBackend) is { } device)
        {
            ListDevice(device, isBackend, listed);
        }
        else if (path == Machine)
        {
            listed.AddRange(s_containers.Select(name => new ObjectPropertyInfo { Name = name, Type = "child<container>" }));
        }
        else
        {
            foreach (GuestDevice child in ChildrenOf(path))
            {
                listed.Add(new ObjectPropertyInfo { Name = child.Path[(path.Length + 1)..], Type = $"child<{child.Model.Name}>" });
            }
        }

        return listed;
    }

    /// <summary>The value of a property of the object at a path.</summary>
    /// <exception cref="QmpException">There is no such property.</exception>
    public QmpValue Get(string path, string property)
    {
        if (devices.Find(path, out bool isBackend) is { } device)
        {
            return GetOfDevice(device, isBackend, property);
        }

        return property == "type" ? QmpValue.FromString(path == Machine ? "machine" : "container")
            : List(path).Exists(found => found.Name == property) ? QmpValue.FromString($"{path}/{property}")
            : throw new QmpException($"Property 'container.{property}' not found");
    }

    /// <summary>Sets a property of the object at a path: only a device's drive may change.</summary>
    /// <param name="path">The device, or its child that has the drive.</param>
    /// <param name="property">The property.</param>
    /// <param name="value">An object that holds the value as its member of that name.</param>
    /// <exception cref="QmpException">It may not be set, or not to that.</exception>
    public async ValueTask SetAsync(string path, string property, QmpInputVisitor value)
    {
        Get(path, property);
        GuestDevice device = devices.Find(path, out bool isBackend) ?? throw new QmpException($"Property 'container.{property}' is not writable");
        string type = isBackend ? device.Model.DriveOwner : device.Model.Name;
        if (property != "drive" || device.Drive is not { } drive)
        {
            bool isOwn = device.FindProperty(property) is null;
            throw new QmpException(isOwn
                ? $"Property '{type}.{property}' is not writable"
                : $"Attempt to set property '{property}' on {NameOf(device)} (type '{device.Model.DriveOwner}') after it was realized");
        }

        value.StartStruct(null);
        string wanted = value.ReadString(property);
        using GraphChange change = await devices.Drives.Graph.ChangeAsync();
        await devices.Drives.RepointAsync(drive, devices.Drives.Graph.Lookup("", wanted));
    }

    private static string NameOf(GuestDevice device) =>
        device.Id is { } id && device.Model.BackendChild is null ? $"device '{id}'" : "anonymous device";

    private static bool IsContainer(string path) =>
        path == Machine || s_containers.Any(name => path.Length == Machine.Length + 1 + name.Length
            && path.StartsWith(Machine, StringComparison.Ordinal) && path[Machine.Length] == '/' && path.EndsWith(name, StringComparison.Ordinal));

    private static void ListDevice(GuestDevice device, bool isBackend, List<ObjectPropertyInfo> listed)
    {
        foreach (string name in (ReadOnlySpan<string>)["realized", "hotplugged", "hotpluggable"])
        {
            listed.Add(new ObjectPropertyInfo { Name = name, Type = "bool" });
        }

        foreach (DeviceProperty property in PropertiesOf(device, isBackend))
        {
            listed.Add(new ObjectPropertyInfo { Name = property.Name, Type = property.Type });
        }

        if (device.Model.TakesDrive)
        {
            listed.Add(new ObjectPropertyInfo { Name = "drive", Type = "str" });
        }

        if (!isBackend && device.Model.BackendChild is { } child)
        {
            listed.Add(new ObjectPropertyInfo { Name = child, Type = $"child<{device.Model.DriveOwner}>" });
        }
    }

    private static IEnumerable<DeviceProperty> PropertiesOf(GuestDevice device, bool isBackend) =>
        isBackend ? DevicePropertyTables.VirtioBlkDevice : device.Model.Properties ?? [];

    private static QmpValue GetOfDevice(GuestDevice device, bool isBackend, string property)
    {
        string type = isBackend ? device.Model.DriveOwner : device.Model.Name;
        return property switch
        {
            "type" => QmpValue.FromString(type),
            "realized" => QmpValue.FromBool(true),
            "hotplugged" => QmpValue.FromBool(device.IsHotplugged),
            "hotpluggable" => QmpValue.FromBool(device.Bus is { IsHotpluggable: true } && !isBackend),
            "drive" when device.Model.TakesDrive => QmpValue.FromString(DriveOf(device)),
            _ when property == device.Model.BackendChild && !isBackend => QmpValue.FromString($"{device.Path}/{property}"),
            _ when PropertiesOf(device, isBackend).Any(found => found.Name == property) => device.Get(property),
            _ => throw new QmpException($"Property '{type}.{property}' not found"),
        };
    }

    private static string DriveOf(GuestDevice device) => device.Drive switch
    {
        null => "",
        { Name.Length: > 0 } drive => drive.Name,
        { Backend.HasMedium: true } drive => drive.Backend.Node.NodeName,
        _ => "",
    };

    private IEnumerable<GuestDevice> ChildrenOf(string container) =>
        devices.All.Where(device => device.Path.StartsWith(container + "/", StringComparison.Ordinal));
}
