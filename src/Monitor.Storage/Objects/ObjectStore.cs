using Monitor.Block;
using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>The objects that clients made, by id. Used in turns only.</summary>
/// <remarks>
/// An iothread is kept by name, so that clients and scripts that place nodes on iothreads work unchanged; requests run on all cores
/// whatever it says, so it has no thread behind it.
/// </remarks>
public sealed class ObjectStore
{
    private readonly Dictionary<string, ObjectOptions> _objects = [];

    /// <summary>Whether there is an iothread of that id.</summary>
    public bool HasIothread(string id) => _objects.TryGetValue(id, out ObjectOptions? found) && found.QomType == ObjectType.Iothread;

    /// <summary>Makes an object.</summary>
    /// <exception cref="QmpException">The id is malformed or taken, or a property out of range.</exception>
    public void Add(ObjectOptions options)
    {
        if (!NodeName.IsWellFormed(options.Id))
        {
            throw new QmpException("Parameter 'id' expects an identifier");
        }

        if (_objects.ContainsKey(options.Id))
        {
            throw new QmpException($"attempt to add duplicate property '{options.Id}' to object (type 'container')");
        }

        if (options.QomType == ObjectType.Iothread)
        {
            CheckIothread(options.Iothread);
        }

        _objects.Add(options.Id, options);
        DaemonLog.Info("Storage", $"object {options.Id} ({options.QomType.ToWire()}) added");
    }

    /// <summary>Removes an object.</summary>
    /// <exception cref="QmpException">There is none of that id.</exception>
    public void Remove(string id)
    {
        if (!_objects.Remove(id))
        {
            throw new QmpException($"object '{id}' not found");
        }

        DaemonLog.Info("Storage", $"object {id} removed");
    }

    private static void CheckIothread(IothreadProperties properties)
    {
        CheckNotNegative("aio-max-batch", properties.AioMaxBatch);
        CheckNotNegative("thread-pool-min", properties.ThreadPoolMin);
        CheckNotNegative("thread-pool-max", properties.ThreadPoolMax);
        CheckNotNegative("poll-max-ns", properties.PollMaxNs);
        CheckNotNegative("poll-grow", properties.PollGrow);
        CheckNotNegative("poll-shrink", properties.PollShrink);
        if ((properties.ThreadPoolMin ?? 0) > (properties.ThreadPoolMax ?? 64))
        {
            throw new QmpException("bad thread-pool-min/thread-pool-max values");
        }
    }

    private static void CheckNotNegative(string name, long? value)
    {
        if (value < 0)
        {
            throw new QmpException($"{name} value must be in range [0, {long.MaxValue}]");
        }
    }
}
