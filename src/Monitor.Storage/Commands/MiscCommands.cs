using Monitor.Qapi;
using Monitor.Storage.Objects;

namespace Monitor.Storage.Commands;

/// <summary>The module <c>misc</c>: objects and their properties.</summary>
/// <param name="objects">Where they are kept.</param>
public sealed class MiscCommands(ObjectStore objects) : IMiscCommands
{
    private readonly QomTree _tree = new(objects);

    /// <inheritdoc/>
    public ValueTask ObjectAddAsync(ObjectOptions arguments) => objects.AddAsync(arguments);

    /// <inheritdoc/>
    public ValueTask ObjectDelAsync(ObjectDelArguments arguments)
    {
        objects.Remove(arguments.Id);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<ObjectPropertyInfo>> QomListAsync(QomListArguments arguments) => new(_tree.List(arguments.Path));

    /// <inheritdoc/>
    public ValueTask<QmpValue> QomGetAsync(QomGetArguments arguments) => new(_tree.Get(arguments.Path, arguments.Property));

    /// <inheritdoc/>
    public ValueTask QomSetAsync(QomSetArguments arguments)
    {
        _tree.Set(arguments.Path, arguments.Property, arguments.Value.VisitAsMember(arguments.Property));
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
                Properties = _tree.List(path).ConvertAll(property => new ObjectPropertyValue
                {
                    Name = property.Name,
                    Type = property.Type,
                    Value = _tree.Get(path, property.Name),
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
}
