using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>An object that a client made; its properties can be read and set by name. Used in turns only.</summary>
/// <param name="id">Its unique id.</param>
public abstract class UserObject(string id)
{
    /// <summary>Its unique id.</summary>
    public string Id { get; } = id;

    /// <summary>The wire's word for its type.</summary>
    public abstract string TypeName { get; }

    /// <summary>Whether something needs it, so that it cannot be removed.</summary>
    public virtual bool IsInUse => false;

    /// <summary>It has been removed.</summary>
    public virtual void OnRemoved()
    {
    }

    /// <summary>The value of a property of its type.</summary>
    /// <exception cref="QmpException">There is no such property.</exception>
    internal QmpValue Get(string property) => property == "type" ? QmpValue.FromString(TypeName) : TryGet(property) ?? throw NoProperty(property);

    /// <summary>Sets a property.</summary>
    /// <param name="property">Its name.</param>
    /// <param name="value">An object that holds the value as its member of that name.</param>
    /// <exception cref="QmpException">There is no such property, or it does not take the value.</exception>
    internal void Set(string property, QmpInputVisitor value)
    {
        if (TryGet(property) is null && property != "type")
        {
            throw NoProperty(property);
        }

        value.StartStruct(null);
        if (property == "type" || !TrySet(property, value))
        {
            throw new QmpException($"Property '{TypeName}.{property}' is not writable");
        }
    }

    /// <summary>The value of a property; <see langword="null"/> when there is none of that name.</summary>
    protected abstract QmpValue? TryGet(string property);

    /// <summary>Sets a property that exists; false when it is not writable.</summary>
    protected abstract bool TrySet(string property, QmpInputVisitor value);

    private QmpException NoProperty(string property) => new($"Property '{TypeName}.{property}' not found");
}
