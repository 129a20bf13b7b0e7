using System.Globalization;
using System.Text;
using Monitor.Block;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Drives;

/// <summary>A drive as <c>--drive</c> and <c>drive_add</c> describe it: what concerns the drive, and what its node is to be.</summary>
/// <remarks>Whatever is not the drive's own is its node's (<see cref="DriveNodeOptions"/>). Older names of options still hold, as <c>iops</c> for <c>throttling.iops-total</c>.</remarks>
internal sealed record DriveOptions
{
    private const string JsonPrefix = "json:";
    private const string CachePrefix = "cache.";
    private const string ThrottlePrefix = "throttling.";
    private const string IntervalsPrefix = "stats-intervals.";

    private static readonly string[] s_own =
    [
        "if", "index", "bus", "unit", "media", "id", "snapshot", "werror", "rerror", "format", "read-only", "copy-on-read",
        "detect-zeroes", "cache.writeback", "stats-account-invalid", "stats-account-failed",
    ];

    private static readonly (string Old, string New)[] s_renamed =
    [
        ("iops", "throttling.iops-total"), ("iops_rd", "throttling.iops-read"), ("iops_wr", "throttling.iops-write"),
        ("bps", "throttling.bps-total"), ("bps_rd", "throttling.bps-read"), ("bps_wr", "throttling.bps-write"),
        ("iops_max", "throttling.iops-total-max"), ("iops_rd_max", "throttling.iops-read-max"), ("iops_wr_max", "throttling.iops-write-max"),
        ("bps_max", "throttling.bps-total-max"), ("bps_rd_max", "throttling.bps-read-max"), ("bps_wr_max", "throttling.bps-write-max"),
        ("iops_size", "throttling.iops-size"), ("group", "throttling.group"), ("readonly", "read-only"),
    ];

    private readonly Dictionary<string, string> _options;

    private DriveOptions(Dictionary<string, string> options) => _options = options;

    /// <summary>The name, if given.</summary>
    public string? Id { get; init; }

    /// <summary>What kind of device it is for.</summary>
    public DriveInterface Interface { get; private init; } = DriveInterface.None;

    /// <summary>Whether it is a CD.</summary>
    public bool IsCd { get; private init; }

    /// <summary>Its place: the <c>index</c> given, if any.</summary>
    public int? Index { get; private init; }

    /// <summary>Its place: the bus.</summary>
    public int Bus { get; private init; }

    /// <summary>Its place: the unit on the bus, if given.</summary>
    public int? Unit { get; private init; }

    /// <summary>Whether what is written is thrown away at the end.</summary>
    public bool IsSnapshot { get; private init; }

    /// <summary>Whether the node refuses writes.</summary>
    public bool IsReadOnly { get; private init; }

    /// <summary>Whether what is read from the backing image is kept in the image; never where it is read-only.</summary>
    public bool CopiesOnRead { get; private init; }

    /// <summary>What is done with writes that hold only zeroes.</summary>
    public DetectZeroesMode DetectsZeroes { get; private init; }

    /// <summary>What was asked for and is not done.</summary>
    public string? Warning => !CopiesOnRead && LegacyOptions.Flag(_options, "copy-on-read", false) ? "disabling copy-on-read on read-only drive" : null;

    /// <summary>Whether writes may be acknowledged before they are durable.</summary>
    public bool HasWriteCache { get; private init; } = true;

    /// <summary>What becomes of failed writes.</summary>
    public BlockdevOnError WriteErrorPolicy { get; private init; } = BlockdevOnError.Enospc;

    /// <summary>What becomes of failed reads.</summary>
    public BlockdevOnError ReadErrorPolicy { get; private init; } = BlockdevOnError.Report;

    /// <summary>Whether failed requests count in times and activity.</summary>
    public bool AccountsFailed { get; private init; } = true;

    /// <summary>Whether refused requests count as activity.</summary>
    public bool AccountsInvalid { get; private init; } = true;

    /// <summary>The intervals in seconds whose figures are kept.</summary>
    public IReadOnlyList<long> Intervals { get; private init; } = [];

    /// <summary>The limits of its requests.</summary>
    public ThrottleConfiguration Limits { get; private init; } = ThrottleConfiguration.Unlimited;

    /// <summary>The group that shares the limits, if given.</summary>
    public string? ThrottleGroup => _options.GetValueOrDefault("throttling.group");

    /// <summary>Whether it names no medium.</summary>
    public bool IsEmpty => !_options.Keys.Any(IsOfNode);

    /// <summary>Reads the value of the option.</summary>
    /// <param name="text"><c>key=value,…</c>.</param>
    /// <param name="defaultInterface">The kind of device when nobody says.</param>
    /// <exception cref="QmpException">It is malformed.</exception>
    public static DriveOptions Parse(string text, DriveInterface defaultInterface)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(text, "file");
        if (options.GetValueOrDefault("id") is { } id && !NodeName.IsWellFormed(id))
        {
            throw new QmpException("Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter.");
        }

        Rename(options);
        bool isCd = ReadMedia(options);
        DriveInterface chosen = options.TryGetValue("if", out string? kind)
            ? DriveInterface.Find(kind) ?? throw new QmpException($"unsupported bus type '{kind}'")
            : defaultInterface;
        (BlockdevOnError write, BlockdevOnError read) = (ReadPolicy(options, chosen, "werror", "write"), ReadPolicy(options, chosen, "rerror", "read"));
        if (options.GetValueOrDefault("file") is { Length: 0 })
        {
            options.Remove("file");
        }

        if (options.ContainsKey("index") && (options.ContainsKey("unit") || Number(options, "bus") is not (null or 0)))
        {
            throw new QmpException("index cannot be used with bus and unit");
        }

        ChooseDriver(options);
        bool isReadOnly = LegacyOptions.Flag(options, "read-only", isCd);
        return new DriveOptions(options)
        {
            Id = options.GetValueOrDefault("id"),
            Interface = chosen,
            IsCd = isCd,
            Index = Number(options, "index"),
            Bus = Number(options, "bus") ?? 0,
            Unit = Number(options, "unit"),
            IsSnapshot = LegacyOptions.Flag(options, "snapshot", false),
            IsReadOnly = isReadOnly,
            CopiesOnRead = LegacyOptions.Flag(options, "copy-on-read", false) && !isReadOnly,
            DetectsZeroes = ReadDetectZeroes(options),
            HasWriteCache = LegacyOptions.Flag(options, "cache.writeback", options.GetValueOrDefault("cache") is not ("writethrough" or "directsync")),
            WriteErrorPolicy = write,
            ReadErrorPolicy = read,
            Intervals = ReadIntervals(options),
            Limits = ReadLimits(options),
            AccountsFailed = LegacyOptions.Flag(options, "stats-account-failed", true),
            AccountsInvalid = LegacyOptions.Flag(options, "stats-account-invalid", true),
        };
    }

    /// <summary>The options of a medium that is put into a drive by its file name.</summary>
    /// <param name="fileName">The file.</param>
    /// <param name="format">Its format, if given.</param>
    public static DriveOptions OfMedium(string fileName, string? format)
    {
        if (fileName.Length == 0)
        {
            throw new QmpException("The 'file' block driver requires a file name");
        }

        var options = new Dictionary<string, string> { ["file"] = fileName };
        if (format is not null)
        {
            options["driver"] = format;
        }

        ChooseDriver(options);
        return new DriveOptions(options);
    }

    /// <summary>The node to open; may read a file to find its format, so runs on a block thread.</summary>
    /// <param name="isReadOnly">Whether it is to refuse writes.</param>
    /// <exception cref="QmpException">The options are malformed, or the file cannot be opened.</exception>
    public BlockdevOptions ReadNode(bool isReadOnly) =>
        new DriveNodeOptions(_options.Where(option => IsOfNode(option.Key)).ToDictionary(), isReadOnly).Read();

    /// <summary>What is neither the drive's own nor a limit of its requests.</summary>
    private static bool IsOfNode(string key) =>
        !s_own.Contains(key)
        && !(key.StartsWith(ThrottlePrefix, StringComparison.Ordinal) && (key == $"{ThrottlePrefix}group" || ThrottleConfiguration.IndexOf(key[ThrottlePrefix.Length..]) >= 0))
        && !key.StartsWith(IntervalsPrefix, StringComparison.Ordinal);

    private static void Rename(Dictionary<string, string> options)
    {
        foreach (var (old, name) in s_renamed)
        {
            if (options.Remove(old, out string? value) && !options.TryAdd(name, value))
            {
                throw new QmpException($"'{name}' and its alias '{old}' can't be used at the same time");
            }
        }
    }

    /// <summary>One name for the format, and the members of a <c>json:</c> name among the others, where these do not say otherwise.</summary>
    private static void ChooseDriver(Dictionary<string, string> options)
    {
        if (options.TryGetValue("format", out string? format) && !options.TryAdd("driver", format))
        {
            throw new QmpException("Cannot specify both 'driver' and 'format'");
        }

        if (options.GetValueOrDefault("file") is { } file && file.StartsWith(JsonPrefix, StringComparison.Ordinal))
        {
            options.Remove("file");
            foreach (var (key, value) in ImageFileName.Words(file).Where(word => IsOfNode(word.Key) && !word.Key.StartsWith(CachePrefix, StringComparison.Ordinal)))
            {
                options.TryAdd(key, value);
            }
        }
    }

    private static bool ReadMedia(Dictionary<string, string> options) => options.GetValueOrDefault("media") switch
    {
        null or "disk" => false,
        "cdrom" => true,
        { } other => throw new QmpException($"'{other}' invalid media"),
    };

    private static BlockdevOnError ReadPolicy(Dictionary<string, string> options, DriveInterface kind, string key, string what)
    {
        if (!options.TryGetValue(key, out string? text))
        {
            return what == "write" ? BlockdevOnError.Enospc : BlockdevOnError.Report;
        }

        if (!kind.HasErrorPolicies)
        {
            throw new QmpException($"{key} is not supported by this bus type");
        }

        bool isKnown = BlockdevOnErrorWire.TryParse(text, out BlockdevOnError policy) && policy != BlockdevOnError.Auto;
        return isKnown && (what == "write" || policy != BlockdevOnError.Enospc) ? policy : throw new QmpException($"'{text}' invalid {what} error action");
    }

    private static List<long> ReadIntervals(Dictionary<string, string> options)
    {
        var intervals = new List<long>();
        while (LegacyOptions.Number(options, $"{IntervalsPrefix}{intervals.Count}") is { } seconds)
        {
            intervals.Add(seconds is > 0 and <= uint.MaxValue ? seconds : throw new QmpException($"Invalid interval length: {seconds}"));
        }

        return intervals;
    }

    private static ThrottleConfiguration ReadLimits(Dictionary<string, string> options)
    {
        long[] values = ThrottleConfiguration.Unlimited.Values.ToArray();
        foreach (string key in options.Keys.Where(key => key.StartsWith(ThrottlePrefix, StringComparison.Ordinal)))
        {
            int index = ThrottleConfiguration.IndexOf(key[ThrottlePrefix.Length..]);
            if (index >= 0)
            {
                values[index] = (long)(KeyvalScalar.ParseUInt64(Encoding.ASCII.GetBytes(options[key])) ?? throw new QmpException($"Parameter '{key}' expects a number"));
            }
        }

        return new ThrottleConfiguration(values);
    }

    private static int? Number(Dictionary<string, string> options, string key) =>
        !options.TryGetValue(key, out string? text) ? null
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : throw new QmpException($"Parameter '{key}' expects a number");

    private static DetectZeroesMode ReadDetectZeroes(Dictionary<string, string> options) => options.GetValueOrDefault("detect-zeroes") switch
    {
        null or "off" => DetectZeroesMode.Off,
        "on" => DetectZeroesMode.On,
        "unmap" => DetectZeroesMode.Unmap,
        { } other => throw new QmpException($"invalid parameter value: {other}"),
    };
}
