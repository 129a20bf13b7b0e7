using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>A type of the object model (QOM): its name, what it extends and its properties.</summary>
/// <param name="Name">The wire's word.</param>
/// <param name="Parent">The type it extends; <see langword="null"/> for the roots.</param>
/// <param name="IsAbstract">Whether no object is of just this type.</param>
/// <param name="Properties">All properties but <c>type</c>, in the order in which they are listed.</param>
internal sealed record QomType(string Name, string? Parent, bool IsAbstract, IReadOnlyList<QomProperty> Properties)
{
    /// <summary>The interface of types that clients may make objects of.</summary>
    private const string UserCreatable = "user-creatable";

    private const string Interface = "interface";

    /// <summary>Every type, in the order in which <c>qom-list-types</c> shows them.</summary>
    public static IReadOnlyList<QomType> All { get; } =
    [
        new("secret_common", "object", true, SecretObject.CommonProperties),
        new("container", "object", false, []),
        new(Interface, null, true, []),
        new("iothread", "event-loop-base", false, IothreadObject.AllProperties),
        new("secret", "secret_common", false, SecretObject.AllProperties),
        new("event-loop-base", "object", true, IothreadObject.CommonProperties),
        new(UserCreatable, Interface, true, []),
        new("object", null, true, []),
        new("throttle-group", "object", false, ThrottleGroupObject.AllProperties),
    ];

    /// <summary>Whether it stands for an ability of types rather than for objects.</summary>
    public bool IsInterface => Name == Interface || Parent == Interface;

    /// <summary>Finds a type; <see langword="null"/> when there is none of that name.</summary>
    public static QomType? Find(string name)
    {
        foreach (QomType type in All)
        {
            if (type.Name == name)
            {
                return type;
            }
        }

        return null;
    }

    /// <summary>Whether it is, extends or has the ability <paramref name="name"/>.</summary>
    public bool Implements(string name)
    {
        for (QomType? type = this; type is not null; type = type.Parent is null ? null : Find(type.Parent))
        {
            if (type.Name == name)
            {
                return true;
            }
        }

        return name == UserCreatable && Name is "iothread" or "secret" or "throttle-group";
    }

    /// <summary>The answer about its properties.</summary>
    public List<ObjectPropertyInfo> Describe()
    {
        var found = new List<ObjectPropertyInfo> { new() { Name = "type", Type = "string" } };
        foreach (QomProperty property in Properties)
        {
            found.Add(new ObjectPropertyInfo { Name = property.Name, Type = property.Type });
        }

        return found;
    }
}
