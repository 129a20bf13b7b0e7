using Monitor.Qapi;

namespace Monitor.Block.Throttling;

/// <summary>The limits of a throttle group: checked, and immutable.</summary>
/// <remarks>
/// The 19 numbers are kept in one array: for each of six limits (bytes total, read, write; requests total, read, write) its rate per
/// second, its burst rate (0 is none) and the longest such burst in seconds; at the end the bytes that count as one request.
/// </remarks>
public sealed class ThrottleConfiguration
{
    /// <summary>Position of the bytes that count as one request.</summary>
    public const int SizeIndex = 18;

    private const int LimitCount = 6;
    private const int ValuesPerLimit = 3;
    private const ulong MaximumRate = 1_000_000_000_000_000;

    private static readonly string[] s_names =
    [
        "bps-total", "bps-total-max", "bps-total-max-length", "bps-read", "bps-read-max", "bps-read-max-length",
        "bps-write", "bps-write-max", "bps-write-max-length", "iops-total", "iops-total-max", "iops-total-max-length",
        "iops-read", "iops-read-max", "iops-read-max-length", "iops-write", "iops-write-max", "iops-write-max-length",
        "iops-size",
    ];

    private static readonly long[] s_unlimited = [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0];

    private readonly long[] _values;

    /// <summary>Takes the numbers, in the order of <see cref="Names"/>.</summary>
    /// <exception cref="QmpException">The limits contradict each other or are out of range.</exception>
    public ThrottleConfiguration(ReadOnlySpan<long> values)
    {
        _values = values.ToArray();
        CheckTotals(values);
        if (values[SizeIndex] != 0 && values[9] == 0 && values[12] == 0 && values[15] == 0)
        {
            throw new QmpException("iops size requires an iops value to be set");
        }

        for (int i = 0; i < SizeIndex; i += ValuesPerLimit)
        {
            CheckLimit((ulong)values[i], (ulong)values[i + 1], (ulong)values[i + 2]);
        }
    }

    /// <summary>No limits.</summary>
    public static ThrottleConfiguration Unlimited { get; } = new(s_unlimited);

    /// <summary>The numbers' names, as <c>ThrottleLimits</c> has them.</summary>
    public static IReadOnlyList<string> Names => s_names;

    /// <summary>The numbers, in the order of <see cref="Names"/>.</summary>
    public ReadOnlySpan<long> Values => _values;

    /// <summary>Whether anything is limited.</summary>
    public bool IsLimited
    {
        get
        {
            for (int i = 0; i < SizeIndex; i += ValuesPerLimit)
            {
                if (_values[i] > 0)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The position of a number by its name; below 0 if there is none.</summary>
    public static int IndexOf(string name) => Array.IndexOf(s_names, name);

    /// <summary>Whether a number is the length of a burst in seconds.</summary>
    /// <param name="index">Its position in <see cref="Names"/>.</param>
    public static bool IsBurstLength(int index) => index != SizeIndex && index % ValuesPerLimit == 2;

    /// <summary>The numbers with those that <paramref name="limits"/> names replaced; checked only for their range.</summary>
    /// <exception cref="QmpException">A burst is too long.</exception>
    public static long[] Merge(ReadOnlySpan<long> values, ThrottleLimits limits)
    {
        long[] merged = values.ToArray();
        ReadOnlySpan<long?> changes =
        [
            limits.BpsTotal, limits.BpsTotalMax, limits.BpsTotalMaxLength, limits.BpsRead, limits.BpsReadMax, limits.BpsReadMaxLength,
            limits.BpsWrite, limits.BpsWriteMax, limits.BpsWriteMaxLength, limits.IopsTotal, limits.IopsTotalMax, limits.IopsTotalMaxLength,
            limits.IopsRead, limits.IopsReadMax, limits.IopsReadMaxLength, limits.IopsWrite, limits.IopsWriteMax, limits.IopsWriteMaxLength,
            limits.IopsSize,
        ];
        for (int i = 0; i < changes.Length; i++)
        {
            if (IsBurstLength(i) && changes[i] > uint.MaxValue)
            {
                throw new QmpException($"{s_names[i]} value must be in the range [0, {uint.MaxValue}]");
            }

            merged[i] = changes[i] ?? merged[i];
        }

        return merged;
    }

    /// <summary>The wire's form, every member present.</summary>
    public ThrottleLimits ToLimits() => new()
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

    /// <summary>Empty buckets, one per limit in the order of <see cref="Names"/>; none where there is no limit.</summary>
    internal LeakyBucket?[] MakeBuckets()
    {
        var buckets = new LeakyBucket?[LimitCount];
        for (int i = 0; i < LimitCount; i++)
        {
            ReadOnlySpan<long> limit = _values.AsSpan(i * ValuesPerLimit, ValuesPerLimit);
            buckets[i] = limit[0] > 0 ? new LeakyBucket(limit[0], limit[1], limit[2]) : null;
        }

        return buckets;
    }

    private static void CheckTotals(ReadOnlySpan<long> values)
    {
        foreach (int i in (ReadOnlySpan<int>)[0, 1, 9, 10])
        {
            if (values[i] != 0 && (values[i + ValuesPerLimit] != 0 || values[i + (2 * ValuesPerLimit)] != 0))
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
}
