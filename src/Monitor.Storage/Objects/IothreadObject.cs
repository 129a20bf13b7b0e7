using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>An iothread: a name with settings. Requests run on all cores whatever it says, so it has no thread behind it.</summary>
public sealed class IothreadObject : UserObject
{
    private static readonly string[] s_names = ["thread-pool-min", "aio-max-batch", "thread-pool-max", "poll-max-ns", "poll-grow", "poll-shrink"];

    private readonly long[] _values = [0, 0, 64, 32768, 0, 0];

    /// <summary>Makes one.</summary>
    /// <exception cref="QmpException">A property is out of range.</exception>
    public IothreadObject(string id, IothreadProperties properties)
        : base(id)
    {
        Set("aio-max-batch", properties.AioMaxBatch);
        Set("thread-pool-min", properties.ThreadPoolMin);
        Set("thread-pool-max", properties.ThreadPoolMax);
        Set("poll-max-ns", properties.PollMaxNs);
        Set("poll-grow", properties.PollGrow);
        Set("poll-shrink", properties.PollShrink);
        CheckThreadPool();
    }

    /// <inheritdoc/>
    public override string TypeName => "iothread";

    /// <summary>What any event loop has.</summary>
    internal static IReadOnlyList<QomProperty> CommonProperties { get; } = [.. s_names[..3].Select(name => new QomProperty(name, "int"))];

    /// <summary>What an iothread has.</summary>
    internal static IReadOnlyList<QomProperty> AllProperties { get; } = [.. s_names.Select(name => new QomProperty(name, "int"))];

    /// <summary>The answer of <c>query-iothreads</c>.</summary>
    internal IOThreadInfo Describe() => new()
    {
        Id = Id,
        ThreadId = Environment.ProcessId,
        PollMaxNs = _values[3],
        PollGrow = _values[4],
        PollShrink = _values[5],
        AioMaxBatch = _values[1],
    };

    /// <inheritdoc/>
    protected override QmpValue? TryGet(string property) =>
        Array.IndexOf(s_names, property) is >= 0 and int index ? QmpValue.FromInteger(_values[index]) : null;

    /// <inheritdoc/>
    protected override bool TrySet(string property, QmpInputVisitor value)
    {
        int index = Array.IndexOf(s_names, property);
        long old = _values[index];
        Set(property, value.ReadInt64(property));
        try
        {
            CheckThreadPool();
        }
        catch (QmpException)
        {
            _values[index] = old;
            throw;
        }

        return true;
    }

    private void Set(string name, long? value)
    {
        if (value is { } present)
        {
            _values[Array.IndexOf(s_names, name)] = present >= 0
                ? present
                : throw new QmpException($"{name} value must be in range [0, {long.MaxValue}]");
        }
    }

    private void CheckThreadPool()
    {
        (long minimum, long maximum) = (_values[0], _values[2]);
        if (minimum > maximum || maximum is 0 or > int.MaxValue)
        {
            throw new QmpException("bad thread-pool-min/thread-pool-max values");
        }
    }
}
