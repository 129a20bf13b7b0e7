using Monitor.Qapi;
using Monitor.Qmp;

namespace Monitor.Storage.Objects;

/// <summary>The character devices in the tree of objects: <c>/chardevs</c> and <c>/chardevs/ID</c>.</summary>
/// <param name="chardevs">The devices.</param>
internal sealed class ChardevTree(ChardevTable chardevs)
{
    /// <summary>The name of the container in the root.</summary>
    public const string Container = "chardevs";

    private const string Prefix = "/chardevs/";

    /// <summary>Whether a path leads to the container or to a device in it.</summary>
    public bool Contains(string path) => IsContainer(path) || Find(path) is not null;

    /// <summary>The properties of the object at a path that <see cref="Contains"/>.</summary>
    public List<ObjectPropertyInfo> List(string path)
    {
        var listed = new List<ObjectPropertyInfo> { new() { Name = "type", Type = "string" } };
        if (Find(path) is not { } chardev)
        {
            listed.AddRange(chardevs.All.Select(child => new ObjectPropertyInfo { Name = child.Id, Type = $"child<{TypeOf(child)}>" }));
        }
        else if (chardev.Address is not null)
        {
            listed.Add(new ObjectPropertyInfo { Name = "connected", Type = "bool" });
            listed.Add(new ObjectPropertyInfo { Name = "addr", Type = "SocketAddress" });
        }

        return listed;
    }

    /// <summary>The value of a property of the object at a path.</summary>
    /// <exception cref="QmpException">There is no such property.</exception>
    public QmpValue Get(string path, string property)
    {
        CheckKnown(path, property);
        return (Find(path), property) switch
        {
            (null, "type") => QmpValue.FromString("container"),
            (null, _) => QmpValue.FromString(Prefix + property),
            ({ } chardev, "type") => QmpValue.FromString(TypeOf(chardev)),
            ({ } chardev, "connected") => QmpValue.FromBool(chardev.IsConnected),
            ({ } chardev, _) => Describe(chardev.Address!),
        };
    }

    /// <summary>Refuses to set a property: none is writable.</summary>
    /// <exception cref="QmpException">Always.</exception>
    public void Set(string path, string property)
    {
        CheckKnown(path, property);
        throw new QmpException($"Property '{TypeOf(path)}.{property}' is not writable");
    }

    private static bool IsContainer(string path) => path.Trim('/') == Container;

    private static string TypeOf(Chardev chardev) => $"chardev-{chardev.Kind}";

    private static QmpValue Describe(SocketAddress address)
    {
        List<KeyValuePair<string, QmpValue>> members = [new("type", QmpValue.FromString(address.Type.ToWire()))];
        if (address.Type == SocketAddressType.Unix)
        {
            members.Add(new("path", QmpValue.FromString(address.Unix.Path)));
            if (address.Unix.Abstract == true)
            {
                members.Add(new("abstract", QmpValue.FromBool(true)));
                members.Add(new("tight", QmpValue.FromBool(address.Unix.Tight ?? true)));
            }
        }
        else if (address.Type == SocketAddressType.Inet)
        {
            members.Add(new("host", QmpValue.FromString(address.Inet.Host)));
            members.Add(new("port", QmpValue.FromString(address.Inet.Port)));
        }
        else
        {
            members.Add(new("str", QmpValue.FromString(address.Fd.Str)));
        }

        return QmpValue.FromMembers(members);
    }

    private Chardev? Find(string path) =>
        path.StartsWith(Prefix, StringComparison.Ordinal) && chardevs.TryGet(path[Prefix.Length..], out Chardev? chardev) ? chardev : null;

    private string TypeOf(string path) => Find(path) is { } chardev ? TypeOf(chardev) : "container";

    private void CheckKnown(string path, string property)
    {
        if (!List(path).Exists(known => known.Name == property))
        {
            throw new QmpException($"Property '{TypeOf(path)}.{property}' not found");
        }
    }
}
