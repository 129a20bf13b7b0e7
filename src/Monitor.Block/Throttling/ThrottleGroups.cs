using Monitor.Qapi;

namespace Monitor.Block.Throttling;

/// <summary>All throttle groups by name. Used in turns only.</summary>
/// <param name="time">The groups' clock.</param>
public sealed class ThrottleGroups(TimeProvider time)
{
    private readonly Dictionary<string, ThrottleGroup> _groups = [];

    /// <summary>The group of that name, if there is one.</summary>
    public ThrottleGroup? Find(string name) => _groups.GetValueOrDefault(name);

    /// <summary>Makes a group without limits.</summary>
    /// <exception cref="QmpException">The name is taken.</exception>
    public ThrottleGroup Add(string name)
    {
        var group = new ThrottleGroup(name, time);
        return _groups.TryAdd(name, group) ? group : throw new QmpException("A group with this name already exists");
    }

    /// <summary>Removes a group that nobody uses.</summary>
    public void Remove(ThrottleGroup group) => _groups.Remove(group.Name);
}
