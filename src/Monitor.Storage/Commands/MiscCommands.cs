using Monitor.Qapi;
using Monitor.Qmp;
using Monitor.Storage.Drives;
using Monitor.Storage.Objects;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>misc</c>: objects and their properties.</summary>
/// <param name="objects">Where they are kept.</param>
/// <param name="devices">The guest devices, which are in the same tree.</param>
/// <param name="chardevs">The character devices, which are there too.</param>
public sealed class MiscCommands(ObjectStore objects, DeviceManager devices, ChardevTable chardevs) : IMiscCommands
{
    private readonly QomTree _tree = new(objects);
    private readonly DeviceTree _deviceTree = new(devices);
    private readonly ChardevTree _chardevTree = new(chardevs);

    /// <inheritdoc/>
    public ValueTask ObjectAddAsync(ObjectOptions arguments) => objects.AddAsync(arguments);

    /// <inheritdoc/>
    public ValueTask ObjectDelAsync(ObjectDelArguments arguments)
    {
        objects.Remove(arguments.Id);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectPropertyInfo>> QomListAsync(QomListArguments arguments) => new(List(arguments.Path));

    /// <inheritdoc/>
    public ValueTask<QmpValue> QomGetAsync(QomGetArguments arguments) => new(Get(arguments.Path, arguments.Property));

    /// <inheritdoc/>
    public ValueTask QomSetAsync(QomSetArguments arguments)
    {
        QmpInputVisitor value = arguments.Value.VisitAsMember(arguments.Property);
        if (_deviceTree.Contains(arguments.Path))
        {
            return _deviceTree.SetAsync(arguments.Path, arguments.Property, value);
        }

        if (_chardevTree.Contains(arguments.Path))
        {
            _chardevTree.Set(arguments.Path, arguments.Property);
        }

        _tree.Set(arguments.Path, arguments.Property, value);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectPropertiesValues>> QomListGetAsync(QomListGetArguments arguments)
    {
        var found = new List<ObjectPropertiesValues>(arguments.Paths.Count);
        foreach (string path in arguments.Paths)
        {
            found.Add(new ObjectPropertiesValues
            {
                Properties = List(path).ConvertAll(property => new ObjectPropertyValue
                {
                    Name = property.Name,
                    Type = property.Type,
                    Value = Get(path, property.Name),
                }),
            });
        }

        return new(found);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectTypeInfo>> QomListTypesAsync(QomListTypesArguments arguments)
    {
        var found = new List<ObjectTypeInfo>();
        foreach (QomType type in QomType.All)
        {
            bool isWanted = arguments.Implements is not { } wanted || type.Implements(wanted);
            if (isWanted && (!type.IsAbstract || arguments.Abstract == true))
            {
                found.Add(new ObjectTypeInfo { Name = type.Name, Parent = type.Parent, Abstract = type.IsAbstract ? true : null });
            }
        }

        return new(found);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectPropertyInfo>> QomListPropertiesAsync(QomListPropertiesArguments arguments)
    {
        QomType type = QomType.Find(arguments.Typename)
            ?? throw new QmpException(QmpErrorClass.DeviceNotFound, $"Class '{arguments.Typename}' not found");
        return type.IsInterface ? throw new QmpException("Parameter 'typename' expects a QOM type") : new(type.Describe());
    }

    private List<ObjectPropertyInfo> List(string path) =>
        _deviceTree.Contains(path) ? _deviceTree.List(path)
        : _chardevTree.Contains(path) ? _chardevTree.List(path)
        : _tree.List(path);

    private QmpValue Get(string path, string property) =>
        _deviceTree.Contains(path) ? _deviceTree.Get(path, property)
        : _chardevTree.Contains(path) ? _chardevTree.Get(path, property)
        : _tree.Get(path, property);
}
