using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>The objects as a tree of paths: <c>/</c>, <c>/objects</c>, and <c>/objects/ID</c> for each that a client made.</summary>
/// <remarks>A path without a leading slash is the end of one: <c>io0</c> finds <c>/objects/io0</c>, unless several end so.</remarks>
/// <param name="store">The objects.</param>
internal sealed class QomTree(ObjectStore store)
{
    private const string Objects = "objects";

    /// <summary>The properties of the object at a path.</summary>
    /// <exception cref="QmpException">There is none, or the path is ambiguous.</exception>
    public List<ObjectPropertyInfo> List(string path)
    {
        if (Resolve(path, out bool isRoot) is { } found)
        {
            return QomType.Find(found.TypeName)!.Describe();
        }

        var listed = new List<ObjectPropertyInfo> { new() { Name = "type", Type = "string" } };
        if (isRoot)
        {
            listed.Add(new ObjectPropertyInfo { Name = Objects, Type = "child<container>" });
            listed.Add(new ObjectPropertyInfo { Name = ChardevTree.Container, Type = "child<container>" });
            listed.Add(new ObjectPropertyInfo { Name = "machine", Type = "child<machine>" });
            return listed;
        }

        foreach (UserObject child in store.All)
        {
            listed.Add(new ObjectPropertyInfo { Name = child.Id, Type = $"child<{child.TypeName}>" });
        }

        return listed;
    }

    /// <summary>The value of a property of the object at a path.</summary>
    /// <exception cref="QmpException">There is no such object or property.</exception>
    public QmpValue Get(string path, string property)
    {
        if (Resolve(path, out bool isRoot) is { } found)
        {
            return found.Get(property);
        }

        if (property == "type")
        {
            return QmpValue.FromString("container");
        }

        CheckChild(isRoot, property);
        return QmpValue.FromString(isRoot ? $"/{property}" : $"/{Objects}/{property}");
    }

    /// <summary>Sets a property of the object at a path.</summary>
    /// <param name="path">The object.</param>
    /// <param name="property">The property.</param>
    /// <param name="value">An object that holds the value as its member of that name.</param>
    /// <exception cref="QmpException">There is no such object or property, or it does not take the value.</exception>
    public void Set(string path, string property, QmpInputVisitor value)
    {
        if (Resolve(path, out bool isRoot) is { } found)
        {
            found.Set(property, value);
            return;
        }

        if (property != "type")
        {
            CheckChild(isRoot, property);
        }

        throw new QmpException($"Property 'container.{property}' is not writable");
    }

    private void CheckChild(bool isRoot, string property)
    {
        if (isRoot ? property is not (Objects or ChardevTree.Container or "machine") : store.Find(property) is null)
        {
            throw new QmpException($"Property 'container.{property}' not found");
        }
    }

    /// <summary>The object at a path; <see langword="null"/> for a container, which is the root or <c>/objects</c>.</summary>
    private UserObject? Resolve(string path, out bool isRoot)
    {
        string[] parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        isRoot = parts.Length == 0;
        if (isRoot)
        {
            return path.Length > 0 ? null : throw new QmpException("Path '' is ambiguous");
        }

        UserObject? named = store.Find(parts[^1]);
        bool isObject = named is not null && (parts.Length == 1 ? path[0] != '/' : parts.Length == 2 && parts[0] == Objects);
        bool isContainer = parts.Length == 1 && parts[0] == Objects;
        return (isObject, isContainer) switch
        {
            (true, true) => throw new QmpException($"Path '{path}' is ambiguous"),
            (true, false) => named,
            (false, true) => null,
            _ => throw new QmpException(QmpErrorClass.DeviceNotFound, $"Device '{path}' not found"),
        };
    }
}
