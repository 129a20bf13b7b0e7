using Monitor.Qapi;

namespace Monitor.Storage.Objects;

/// <summary>A throttle-group: limits on the rate of requests that several nodes share.</summary>
/// <remarks>
/// The 19 numbers are kept in one array: for each of six limits its rate per second, its burst (0 is none) and the longest such burst
/// in seconds; at the end the bytes that count as one request.
/// </remarks>
public sealed class ThrottleGroupObject : UserObject
{
    private const int SizeIndex = 18;
    private const ulong MaximumRate = 1_000_000_000_000_000;

    private static readonly string[] s_names =
    [
        "bps-total", "bps-total-max", "bps-total-max-length", "bps-read", "bps-read-max", "bps-read-max-length",
        "bps-write", "bps-write-max", "bps-write-max-length", "iops-total", "iops-total-max", "iops-total-max-length",
        "iops-read", "iops-read-max", "iops-read-max-length", "iops-write", "iops-write-max", "iops-write-max-length",
        "iops-size",
    ];

    private long[] _values = [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0];

    /// <summary>Makes one.</summary>
    /// <exception cref="QmpException">The limits contradict each other or are out of range.</exception>
    public ThrottleGroupObject(string id, ThrottleGroupProperties properties)
        : base(id)
    {
        ReadOnlySpan<long?> single = ValuesOf(properties);
        for (int i = 0; i < single.Length; i++)
        {
            if (single[i] is { } value)
            {
                _values[i] = CheckSingle(i, value);
            }
        }

        _values = properties.Limits is { } limits ? Merge(limits) : Checked(_values);
    }

    /// <inheritdoc/>
    public override string TypeName => "throttle-group";

    /// <summary>Its limits, every member present.</summary>
    public ThrottleLimits Limits => new()
    {
        BpsTotal = _values[0],
        BpsTotalMax = _values[1],
        BpsTotalMaxLength = _values[2],
        BpsRead = _values[3],
        BpsReadMax = _values[4],
        BpsReadMaxLength = _values[5],
        BpsWrite = _values[6],
        BpsWriteMax = _values[7],
        BpsWriteMaxLength = _values[8],
        IopsTotal = _values[9],
        IopsTotalMax = _values[10],
        IopsTotalMaxLength = _values[11],
        IopsRead = _values[12],
        IopsReadMax = _values[13],
        IopsReadMaxLength = _values[14],
        IopsWrite = _values[15],
        IopsWriteMax = _values[16],
        IopsWriteMaxLength = _values[17],
        IopsSize = _values[SizeIndex],
    };

    /// <summary>Called when the limits were set anew.</summary>
    public Action<ThrottleLimits>? Changed { get; set; }

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
    protected override QmpValue? TryGet(string property)
    {
        if (property == "limits")
        {
            return QmpValue.FromMembers(s_names.Select((name, i) => KeyValuePair.Create(name, QmpValue.FromInteger(_values[i]))));
        }

        int index = property.StartsWith("x-", StringComparison.Ordinal) ? Array.IndexOf(s_names, property[2..]) : -1;
        return index < 0 ? null : QmpValue.FromInteger(_values[index]);
    }

    /// <inheritdoc/>
    protected override bool TrySet(string property, QmpInputVisitor value)
    {
        if (property != "limits")
        {
            throw new QmpException("Property cannot be set after initialization");
        }

        _values = Merge(ThrottleLimits.Read(value, property));
        Changed?.Invoke(Limits);
        return true;
    }

    private static long?[] ValuesOf(ThrottleLimits limits) =>
    [
        limits.BpsTotal, limits.BpsTotalMax, limits.BpsTotalMaxLength, limits.BpsRead, limits.BpsReadMax, limits.BpsReadMaxLength,
        limits.BpsWrite, limits.BpsWriteMax, limits.BpsWriteMaxLength, limits.IopsTotal, limits.IopsTotalMax, limits.IopsTotalMaxLength,
        limits.IopsRead, limits.IopsReadMax, limits.IopsReadMaxLength, limits.IopsWrite, limits.IopsWriteMax, limits.IopsWriteMaxLength,
        limits.IopsSize,
    ];

    private static long?[] ValuesOf(ThrottleGroupProperties single) =>
    [
        single.XBpsTotal, single.XBpsTotalMax, single.XBpsTotalMaxLength, single.XBpsRead, single.XBpsReadMax, single.XBpsReadMaxLength,
        single.XBpsWrite, single.XBpsWriteMax, single.XBpsWriteMaxLength, single.XIopsTotal, single.XIopsTotalMax, single.XIopsTotalMaxLength,
        single.XIopsRead, single.XIopsReadMax, single.XIopsReadMaxLength, single.XIopsWrite, single.XIopsWriteMax, single.XIopsWriteMaxLength,
        single.XIopsSize,
    ];

    private static bool IsBurstLength(int index) => index != SizeIndex && index % 3 == 2;

    private static long CheckSingle(int index, long value)
    {
        if (value < 0)
        {
            throw new QmpException("Property values cannot be negative");
        }

        return !IsBurstLength(index) || value <= uint.MaxValue
            ? value
            : throw new QmpException($"x-{s_names[index]} value must be in therange [0, {uint.MaxValue}]");
    }

    private static long[] Checked(long[] values)
    {
        CheckTotals(values);
        if (values[SizeIndex] != 0 && values[9] == 0 && values[12] == 0 && values[15] == 0)
        {
            throw new QmpException("iops size requires an iops value to be set");
        }

        for (int i = 0; i < SizeIndex; i += 3)
        {
            CheckLimit((ulong)values[i], (ulong)values[i + 1], (ulong)values[i + 2]);
        }

        return values;
    }

    private static void CheckTotals(long[] values)
    {
        foreach (int i in (ReadOnlySpan<int>)[0, 1, 9, 10])
        {
            if (values[i] != 0 && (values[i + 3] != 0 || values[i + 6] != 0))
            {
                throw new QmpException("bps/iops/max total values and read/write values cannot be used at the same time");
            }
        }
    }

    private static void CheckLimit(ulong rate, ulong burst, ulong burstSeconds)
    {
        string? wrong = rate > MaximumRate || burst > MaximumRate ? $"bps/iops/max values must be within [0, {MaximumRate}]"
            : burstSeconds == 0 ? "the burst length cannot be 0"
            : burstSeconds > 1 && burst == 0 ? "burst length set without burst rate"
            : burst != 0 && burstSeconds > MaximumRate / burst ? "burst length too high for this burst rate"
            : burst != 0 && rate == 0 ? "bps_max/iops_max require corresponding bps/iops values"
            : burst != 0 && burst < rate ? "bps_max/iops_max cannot be lower than bps/iops"
            : null;
        if (wrong is not null)
        {
            throw new QmpException(wrong);
        }
    }

    private long[] Merge(ThrottleLimits limits)
    {
        long[] merged = [.. _values];
        ReadOnlySpan<long?> changes = ValuesOf(limits);
        for (int i = 0; i < changes.Length; i++)
        {
            if (IsBurstLength(i) && changes[i] > uint.MaxValue)
            {
                throw new QmpException($"{s_names[i]} value must be in the range [0, {uint.MaxValue}]");
            }

            merged[i] = changes[i] ?? merged[i];
        }

        return Checked(merged);
    }
}
