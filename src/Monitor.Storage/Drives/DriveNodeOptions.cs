using System.Text;
using Monitor.Block;
using Monitor.Block.Drivers;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Storage.Drives;

/// <summary>The node of a drive: translates what <c>--drive</c> says of it into the words of <c>--blockdev</c>.</summary>
/// <remarks>
/// <c>file=d.qcow2,cache=none,lazy-refcounts=on</c> is <c>driver=qcow2,file.driver=file,file.filename=d.qcow2,cache.direct=on,lazy-refcounts=on</c>,
/// where the format is found by looking when nobody gives it. Lengths may have a suffix, which <c>--blockdev</c> does not know.
/// </remarks>
/// <param name="options">What is not the drive's own.</param>
/// <param name="isReadOnly">Whether the node is to refuse writes.</param>
internal sealed class DriveNodeOptions(Dictionary<string, string> options, bool isReadOnly)
{
    private const string FilePrefix = "file.";

    private static readonly string[] s_translated = ["file", "driver", "cache", "aio", "discard"];

    private static readonly string[] s_lengths =
    [
        "size", "offset", "l2-cache-size", "l2-cache-entry-size", "refcount-cache-size", "cache-size", "align", "max-transfer",
        "opt-write-zero", "max-write-zero", "opt-discard", "max-discard", "prealloc-align", "prealloc-size",
    ];

    private readonly List<(string Key, string Value)> _words = [];

    /// <summary>The options of the node; may read a file to find its format, so runs on a block thread.</summary>
    /// <exception cref="QmpException">The options are malformed, or the file cannot be opened.</exception>
    public BlockdevOptions Read()
    {
        string? fileName = options.GetValueOrDefault("file");
        AddImpliedDrivers();
        bool namesNode = options.ContainsKey("file.driver") || (options.ContainsKey("driver") && !options.Keys.Any(key => key.StartsWith(FilePrefix, StringComparison.Ordinal)));
        if (fileName is null && !namesNode)
        {
            throw new QmpException("Must specify either driver or file");
        }

        (string Key, string Value)[] file = fileName is null ? [] : [.. ImageFileName.Words(fileName)];
        BlockdevDriver driver = ReadDriver(file);
        _words.Add(("driver", driver.ToWire()));
        _words.Add(("read-only", isReadOnly ? "on" : "off"));
        AddFile(driver, file);
        AddCache();
        AddDiscard();
        foreach (var (key, value) in options)
        {
            if (!s_translated.Contains(key))
            {
                _words.Add((key, s_lengths.Contains(key[(key.LastIndexOf('.') + 1)..]) ? Length(value) : value));
            }
        }

        return Read(driver);
    }

    private static string Length(string value) => KeyvalScalar.ParseSize(Encoding.ASCII.GetBytes(value))?.ToString() ?? value;

    /// <summary>A file name without a driver is a path, whatever it looks like.</summary>
    private void AddImpliedDrivers()
    {
        const string FileName = ".filename";
        foreach (string key in options.Keys.Where(key => key.EndsWith(FileName, StringComparison.Ordinal)).ToArray())
        {
            options.TryAdd($"{key[..^FileName.Length]}.driver", ImageFileName.DriverOf(options[key]).ToWire());
        }
    }

    private BlockdevDriver ReadDriver((string Key, string Value)[] file)
    {
        if (options.TryGetValue("driver", out string? name))
        {
            return BlockdevDriverWire.TryParse(name, out BlockdevDriver driver) ? driver : throw new QmpException($"Unknown driver '{name}'");
        }

        // What is no file of this host is not looked into: its first bytes are its guest's.
        string? kind = options.GetValueOrDefault("file.driver") ?? Value(file, "driver");
        string? path = options.GetValueOrDefault("file.filename") ?? Value(file, "filename");
        return kind is "file" or "host_device" && path is not null ? ImageProbe.Probe(path) : BlockdevDriver.Raw;
    }

    private static string? Value((string Key, string Value)[] words, string key) => Array.Find(words, word => word.Key == key).Value;

    /// <summary>The file below a format, or the file that the driver itself opens.</summary>
    private void AddFile(BlockdevDriver driver, (string Key, string Value)[] file)
    {
        bool isProtocol = driver is BlockdevDriver.File or BlockdevDriver.HostDevice or BlockdevDriver.Nbd or BlockdevDriver.NullCo or BlockdevDriver.NullAio
            or BlockdevDriver.Blkdebug or BlockdevDriver.Blkverify;
        string prefix = isProtocol ? "" : FilePrefix;
        foreach (var (key, value) in file)
        {
            if (key != "driver" || (!isProtocol && !options.ContainsKey("file.driver")))
            {
                _words.Add((prefix + key, value));
            }
        }

        if (options.TryGetValue("aio", out string? aio))
        {
            _ = BlockdevAioOptionsWire.TryParse(aio, out _) ? aio : throw new QmpException("invalid aio option");
            string? kind = isProtocol ? driver.ToWire() : options.GetValueOrDefault("file.driver") ?? Value(file, "driver");
            if (kind is "file" or "host_device")
            {
                _words.Add(($"{prefix}aio", aio));
            }
        }
    }

    private void AddCache()
    {
        string cache = options.GetValueOrDefault("cache", "writeback");
        if (cache is not ("none" or "off" or "writeback" or "writethrough" or "directsync" or "unsafe"))
        {
            throw new QmpException("invalid cache option");
        }

        if (cache is "none" or "off" or "directsync")
        {
            _words.Add(("cache.direct", "on"));
        }

        if (cache == "unsafe")
        {
            _words.Add(("cache.no-flush", "on"));
        }
    }

    private void AddDiscard()
    {
        if (options.TryGetValue("discard", out string? discard))
        {
            string? word = discard switch
            {
                "ignore" or "off" => "ignore",
                "unmap" or "on" => "unmap",
                _ => null,
            };
            _words.Add(("discard", word ?? throw new QmpException("Invalid discard option")));
        }
    }

    private BlockdevOptions Read(BlockdevDriver driver)
    {
        try
        {
            return BlockdevOptions.Read(KeyvalParser.Parse(_words), null);
        }
        catch (QmpException e) when (e.Message.EndsWith("is unexpected", StringComparison.Ordinal))
        {
            throw Unexpected(driver, e.Message.Split('\'')[1]);
        }
        catch (QmpException e) when (e.Message == "Parameter 'file' is missing")
        {
            throw new QmpException("A block device must be specified for \"file\"");
        }
        catch (QmpException e) when (e.Message is "Parameter 'filename' is missing" or "Parameter 'file.filename' is missing")
        {
            throw new QmpException("The 'file' block driver requires a file name");
        }
    }

    private QmpException Unexpected(BlockdevDriver driver, string member)
    {
        string key = options.Keys.FirstOrDefault(key => key == member || key.StartsWith($"{member}.", StringComparison.Ordinal)) ?? member;
        bool isOfFile = key.StartsWith(FilePrefix, StringComparison.Ordinal);
        string? kind = isOfFile ? _words.FindLast(word => word.Key == "file.driver").Value : null;
        return new QmpException(
            kind is not null ? $"Block protocol '{kind}' doesn't support the option '{key[FilePrefix.Length..]}'"
            : driver is BlockdevDriver.File or BlockdevDriver.HostDevice or BlockdevDriver.Nbd or BlockdevDriver.NullCo or BlockdevDriver.NullAio
            ? $"Block protocol '{driver.ToWire()}' doesn't support the option '{key}'"
            : $"Block format '{driver.ToWire()}' does not support the option '{key}'");
    }
}
