using Monitor.Block.Throttling;
using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>A throttle-group: limits on the rate of requests that several nodes share.</summary>
public sealed class ThrottleGroupObject : UserObject
{
    private readonly ThrottleGroups _groups;
    private readonly ThrottleGroup _group;

    /// <summary>Makes one, and the group that it sets the limits of.</summary>
    /// <exception cref="QmpException">The limits contradict each other or are out of range, or a group of that name exists.</exception>
    public ThrottleGroupObject(string id, ThrottleGroupProperties properties, ThrottleGroups groups)
        : base(id)
    {
        long[] values = ThrottleConfiguration.Unlimited.Values.ToArray();
        ReadOnlySpan<long?> single = ValuesOf(properties);
        for (int i = 0; i < single.Length; i++)
        {
            if (single[i] is { } value)
            {
                values[i] = CheckSingle(i, value);
            }
        }

        var configuration = new ThrottleConfiguration(properties.Limits is { } limits ? ThrottleConfiguration.Merge(values, limits) : values);
        _groups = groups;
        _group = groups.Add(id);
        _group.Configuration = configuration;
    }

    /// <inheritdoc/>
    public override string TypeName => "throttle-group";

    /// <inheritdoc/>
    public override bool IsInUse => _group.IsInUse;

    private static IReadOnlyList<string> Names => ThrottleConfiguration.Names;

    /// <summary>In the order in which QEMU 7.2 lists them.</summary>
    internal static IReadOnlyList<QomProperty> AllProperties { get; } =
    [
        new("x-bps-write-max-length", "int"), new("x-iops-total-max-length", "int"), new("x-iops-size", "int"), new("limits", "ThrottleLimits"),
        new("x-bps-total", "int"), new("x-iops-read-max-length", "int"), new("x-bps-write", "int"), new("x-iops-write-max-length", "int"),
        new("x-bps-read-max", "int"), new("x-iops-read-max", "int"), new("x-bps-total-max", "int"), new("x-bps-read-max-length", "int"),
        new("x-iops-read", "int"), new("x-bps-read", "int"), new("x-bps-write-max", "int"), new("x-iops-total-max", "int"),
        new("x-iops-total", "int"), new("x-iops-write", "int"), new("x-bps-total-max-length", "int"), new("x-iops-write-max", "int"),
    ];

    /// <inheritdoc/>
    public override void OnRemoved() => _groups.Remove(_group);

    /// <inheritdoc/>
    protected override QmpValue? TryGet(string property)
    {
        if (property == "limits")
        {
            long[] values = _group.Configuration.Values.ToArray();
            return QmpValue.FromMembers(Names.Select((name, i) => KeyValuePair.Create(name, QmpValue.FromInteger(values[i]))));
        }

        int index = property.StartsWith("x-", StringComparison.Ordinal) ? ThrottleConfiguration.IndexOf(property[2..]) : -1;
        return index < 0 ? null : QmpValue.FromInteger(_group.Configuration.Values[index]);
    }

    /// <inheritdoc/>
    protected override bool TrySet(string property, QmpInputVisitor value)
    {
        if (property != "limits")
        {
            throw new QmpException("Property cannot be set after initialization");
        }

        ThrottleLimits limits = ThrottleLimits.Read(value, property);
        _group.Configuration = new ThrottleConfiguration(ThrottleConfiguration.Merge(_group.Configuration.Values, limits));
        return true;
    }

    private static long?[] ValuesOf(ThrottleGroupProperties single) =>
    [
        single.XBpsTotal, single.XBpsTotalMax, single.XBpsTotalMaxLength, single.XBpsRead, single.XBpsReadMax, single.XBpsReadMaxLength,
        single.XBpsWrite, single.XBpsWriteMax, single.XBpsWriteMaxLength, single.XIopsTotal, single.XIopsTotalMax, single.XIopsTotalMaxLength,
        single.XIopsRead, single.XIopsReadMax, single.XIopsReadMaxLength, single.XIopsWrite, single.XIopsWriteMax, single.XIopsWriteMaxLength,
        single.XIopsSize,
    ];

    private static long CheckSingle(int index, long value)
    {
        if (value < 0)
        {
            throw new QmpException("Property values cannot be negative");
        }

        return !ThrottleConfiguration.IsBurstLength(index) || value <= uint.MaxValue
            ? value
            : throw new QmpException($"x-{Names[index]} value must be in therange [0, {uint.MaxValue}]");
    }
}
