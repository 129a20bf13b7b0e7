using System.Globalization;
using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Drives;

/// <summary>A drive as <c>--drive</c> and <c>drive_add</c> describe it: what concerns the drive, and what its node is to be.</summary>
/// <remarks>
/// Whatever is not the drive's own is the node's: <c>file=d.qcow2,cache=none,lazy-refcounts=on</c> is the node
/// <c>driver=qcow2,file.driver=file,file.filename=d.qcow2,cache.direct=on,lazy-refcounts=on</c> of <c>--blockdev</c>, where the format is
/// found by looking when nobody gives it.
/// </remarks>
internal sealed record DriveOptions
{
    private const string JsonPrefix = "json:";
    private const string ThrottlePrefix = "throttling.";
    private const string IntervalsPrefix = "stats-intervals.";

    private static readonly string[] s_own =
    [
        "if", "index", "bus", "unit", "media", "id", "snapshot", "werror", "rerror", "file", "format", "driver", "cache", "aio",
        "discard", "read-only", "detect-zeroes", "cache.writeback", "stats-account-invalid", "stats-account-failed",
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
    public bool IsEmpty => !_options.ContainsKey("file") && !NodeKeys().Any() && Format is null;

    private string? Format => _options.GetValueOrDefault("driver") ?? _options.GetValueOrDefault("format");

    /// <summary>Reads the value of the option.</summary>
    /// <param name="text"><c>key=value,…</c>.</param>
    /// <param name="defaultInterface">The kind of device when nobody says.</param>
    /// <exception cref="QmpException">It is malformed.</exception>
    public static DriveOptions Parse(string text, DriveInterface defaultInterface)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(text, "file");
        if (options.GetValueOrDefault("id") is { } id && !NodeName.IsWellFormed(id))
        {
            throw new QmpException("Parameter 'id' expects an identifier");
        }

        bool isCd = ReadMedia(options);
        DriveInterface chosen = options.TryGetValue("if", out string? kind)
            ? DriveInterface.Find(kind) ?? throw new QmpException($"unsupported bus type '{kind}'")
            : defaultInterface;
        (BlockdevOnError write, BlockdevOnError read) = (ReadPolicy(options, "werror", "write"), ReadPolicy(options, "rerror", "read"));
        if (options.GetValueOrDefault("file") is { Length: 0 })
        {
            options.Remove("file");
        }

        if (options.ContainsKey("driver") && options.ContainsKey("format"))
        {
            throw new QmpException("Cannot specify both 'driver' and 'format'");
        }

        return new DriveOptions(options)
        {
            Id = options.GetValueOrDefault("id"),
            Interface = chosen,
            IsCd = isCd,
            Index = Number(options, "index"),
            Bus = Number(options, "bus") ?? 0,
            Unit = Number(options, "unit"),
            IsSnapshot = LegacyOptions.Flag(options, "snapshot", false),
            IsReadOnly = LegacyOptions.Flag(options, "read-only", isCd),
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
    /// <param name="detect">Whether it looks for zeroes in what is written.</param>
    public static DriveOptions OfMedium(string fileName, string? format, DetectZeroesMode detect)
    {
        var options = new Dictionary<string, string> { ["file"] = fileName };
        if (format is not null)
        {
            options["format"] = format;
        }

        if (detect != DetectZeroesMode.Off)
        {
            options["detect-zeroes"] = "on";
        }

        return new DriveOptions(options);
    }

    /// <summary>The node to open; may read a file to find its format, so runs on a block thread.</summary>
    /// <param name="isReadOnly">Whether it is to refuse writes.</param>
    /// <exception cref="QmpException">The options are malformed, or the file cannot be opened.</exception>
    public BlockdevOptions ReadNode(bool isReadOnly)
    {
        string? file = _options.GetValueOrDefault("file");
        if (file is null && Format is null && !_options.ContainsKey("file.filename") && !_options.ContainsKey("file"))
        {
            throw new QmpException("Must specify either driver or file");
        }

        if (file?.StartsWith(JsonPrefix, StringComparison.Ordinal) == true)
        {
            return BlockdevOptions.Read(QmpInputVisitor.Parse(file[JsonPrefix.Length..]), null);
        }

        BlockdevDriver driver = ReadDriver(file);
        var text = new StringBuilder($"driver={driver.ToWire()}");
        AppendFile(driver, file, text);
        Append("read-only", isReadOnly ? "on" : "off", text);
        AppendCache(text);
        AppendDiscard(text);
        foreach (string key in NodeKeys())
        {
            Append(key, _options[key], text);
        }

        return Read(driver, text.ToString());
    }

    private static BlockdevOptions Read(BlockdevDriver driver, string text)
    {
        try
        {
            return BlockdevOptions.Read(KeyvalParser.Parse(text, null), null);
        }
        catch (QmpException e) when (e.Message.EndsWith("is unexpected", StringComparison.Ordinal))
        {
            string name = e.Message.Split('\'')[1];
            throw new QmpException($"Block format '{driver.ToWire()}' does not support the option '{name}'");
        }
    }

    private static bool ReadMedia(Dictionary<string, string> options) => options.GetValueOrDefault("media") switch
    {
        null or "disk" => false,
        "cdrom" => true,
        { } other => throw new QmpException($"'{other}' invalid media"),
    };

    private static BlockdevOnError ReadPolicy(Dictionary<string, string> options, string key, string what)
    {
        if (!options.TryGetValue(key, out string? text))
        {
            return what == "write" ? BlockdevOnError.Enospc : BlockdevOnError.Report;
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
                values[index] = ulong.TryParse(options[key], NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
                    ? (long)value
                    : throw new QmpException($"Parameter '{key}' expects a number");
            }
            else if (key != $"{ThrottlePrefix}group")
            {
                throw new QmpException($"Invalid parameter '{key}'");
            }
        }

        return new ThrottleConfiguration(values);
    }

    private static int? Number(Dictionary<string, string> options, string key) =>
        !options.TryGetValue(key, out string? text) ? null
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number
        : throw new QmpException($"Parameter '{key}' expects a number");

    private static void Append(string key, string value, StringBuilder text) =>
        text.Append(CultureInfo.InvariantCulture, $",{key}={value.Replace(",", ",,", StringComparison.Ordinal)}");

    /// <summary>What is neither the drive's own nor a limit of its requests.</summary>
    private IEnumerable<string> NodeKeys() =>
        _options.Keys.Where(key => !s_own.Contains(key) && !key.StartsWith(ThrottlePrefix, StringComparison.Ordinal)
            && !key.StartsWith(IntervalsPrefix, StringComparison.Ordinal));

    private BlockdevDriver ReadDriver(string? file)
    {
        if (Format is { } name)
        {
            return BlockdevDriverWire.TryParse(name, out BlockdevDriver driver) ? driver : throw new QmpException($"Unknown driver '{name}'");
        }

        return file is not null && ImageFileName.Parse(file).Driver != BlockdevDriver.File
            ? BlockdevDriver.Raw
            : ImageProbe.Probe(file is null ? _options["file.filename"] : ImageFileName.Parse(file).File.Filename);
    }

    /// <summary>What a file name stands for, in the words of <c>--blockdev</c>.</summary>
    private static IEnumerable<(string Key, string Value)> FileOptions(BlockdevOptions file)
    {
        yield return ("driver", file.Driver.ToWire());
        if (file.Branch is BlockdevOptionsFile local)
        {
            yield return ("filename", local.Filename);
        }

        if (file.Branch is not BlockdevOptionsNbd nbd)
        {
            yield break;
        }

        bool isUnix = nbd.Server.Type == SocketAddressType.Unix;
        yield return ("server.type", nbd.Server.Type.ToWire());
        yield return isUnix ? ("server.path", nbd.Server.Unix.Path) : ("server.host", nbd.Server.Inet.Host);
        if (!isUnix)
        {
            yield return ("server.port", nbd.Server.Inet.Port);
        }

        if (nbd.Export is { } export)
        {
            yield return ("export", export);
        }
    }

    /// <summary>The file below a format, or the file that the driver itself opens.</summary>
    private void AppendFile(BlockdevDriver driver, string? file, StringBuilder text)
    {
        bool isProtocol = driver is BlockdevDriver.File or BlockdevDriver.HostDevice or BlockdevDriver.Nbd or BlockdevDriver.NullCo or BlockdevDriver.NullAio;
        string prefix = isProtocol ? "" : "file.";
        foreach (var (key, value) in file is null ? [] : FileOptions(ImageFileName.Parse(file)))
        {
            if (key != "driver" || (prefix.Length > 0 && !_options.ContainsKey("file.driver")))
            {
                Append($"{prefix}{key}", value, text);
            }
        }

        if (_options.TryGetValue("aio", out string? aio))
        {
            Append($"{prefix}aio", BlockdevAioOptionsWire.TryParse(aio, out _) ? aio : throw new QmpException("invalid aio option"), text);
        }
    }

    private void AppendCache(StringBuilder text)
    {
        string cache = _options.GetValueOrDefault("cache", "writeback");
        if (cache is not ("none" or "off" or "writeback" or "writethrough" or "directsync" or "unsafe"))
        {
            throw new QmpException("invalid cache option");
        }

        if (cache is "none" or "off" or "directsync" && !_options.ContainsKey("cache.direct"))
        {
            Append("cache.direct", "on", text);
        }

        if (cache == "unsafe" && !_options.ContainsKey("cache.no-flush"))
        {
            Append("cache.no-flush", "on", text);
        }
    }

    private void AppendDiscard(StringBuilder text)
    {
        if (_options.TryGetValue("discard", out string? discard))
        {
            string? word = discard switch
            {
                "ignore" or "off" => "ignore",
                "unmap" or "on" => "unmap",
                _ => null,
            };
            Append("discard", word ?? throw new QmpException("Invalid discard option"), text);
        }

        if (_options.TryGetValue("detect-zeroes", out string? detect))
        {
            Append("detect-zeroes", BlockdevDetectZeroesOptionsWire.TryParse(detect, out _) ? detect : throw new QmpException($"invalid parameter value: {detect}"), text);
        }
    }
}
