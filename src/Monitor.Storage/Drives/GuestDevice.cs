using Monitor.Qapi;

namespace Monitor.Storage.Drives;

/// <summary>A guest device: a place in the tree of objects, its properties, and the drive that it uses. Used in turns only.</summary>
public sealed class GuestDevice
{
    private readonly Dictionary<string, QmpValue> _values = [];

    internal GuestDevice(DeviceModel model, string? id, string path, bool isHotplugged)
    {
        Model = model;
        Id = id;
        Path = path;
        IsHotplugged = isHotplugged;
    }

    /// <summary>Its id, if it has one.</summary>
    public string? Id { get; }

    /// <summary>Its path in the tree of objects, such as <c>/machine/peripheral/disk0</c>.</summary>
    public string Path { get; }

    /// <summary>The drive that it uses; <see langword="null"/> for a controller.</summary>
    public Drive? Drive { get; internal set; }

    /// <summary>Whether the tray is open.</summary>
    public bool IsTrayOpen { get; internal set; }

    /// <summary>Whether it came after the start.</summary>
    public bool IsHotplugged { get; }

    /// <summary>How the queries name it: the id of what has the drive if that has one, else its path.</summary>
    public string QdevName => Model.BackendChild is { } child ? $"{Path}/{child}" : Id ?? Path;

    internal DeviceModel Model { get; }

    internal DeviceBus? Bus { get; init; }

    /// <summary>Whether it lets other users write to its node.</summary>
    internal bool SharesWriting => Get("share-rw").Text == "true";

    /// <summary>Sets a property while the device is being made.</summary>
    /// <exception cref="QmpException">There is no such property, or the value is none of its type.</exception>
    internal void Set(string name, string text)
    {
        if (Model.Properties is null)
        {
            return;
        }

        DeviceProperty property = FindProperty(name) ?? throw new QmpException($"Property '{Model.Name}.{name}' not found");
        _values[name] = property.Parse(text, Model.BackendChild is null ? Id ?? "" : "");
    }

    /// <summary>The value of a property of its own; the empty string for what is unknown.</summary>
    internal QmpValue Get(string name)
    {
        if (_values.TryGetValue(name, out QmpValue? value))
        {
            return value;
        }

        DeviceProperty? property = FindProperty(name);
        return property is null ? QmpValue.FromString("") : property.Default.Length == 0 ? QmpValue.FromString("") : property.Parse(property.Default);
    }

    /// <summary>Whether a property was set when the device was made.</summary>
    internal bool IsSet(string name) => _values.ContainsKey(name);

    internal DeviceProperty? FindProperty(string name) => Model.Properties?.FirstOrDefault(property => property.Name == name);
}
