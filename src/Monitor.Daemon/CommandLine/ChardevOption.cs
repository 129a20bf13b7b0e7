using Monitor.Qapi;
using Monitor.Storage;

namespace Monitor.Daemon.CommandLine;

/// <summary>A character device as the command line describes it, turned into what <c>chardev-add</c> takes.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Backend">What it is made of.</param>
internal sealed record ChardevOption(string Id, ChardevBackend Backend)
{
    private static readonly string[] s_known =
    [
        "id", "backend", "path", "host", "port", "fd", "to", "ipv4", "ipv6", "abstract", "tight", "server", "wait", "nodelay", "delay",
        "reconnect", "input-path", "append", "size", "logfile", "logappend",
    ];

    /// <summary>Reads <c>[backend=]KIND,id=…[,…]</c>, the value of <c>--chardev</c>.</summary>
    /// <exception cref="QmpException">It is malformed, or of a kind that is not supported.</exception>
    public static ChardevOption Parse(string text)
    {
        Dictionary<string, string> options = LegacyOptions.Parse(text, "backend");
        LegacyOptions.CheckKnown(options, s_known);
        if (!options.TryGetValue("id", out string? id))
        {
            throw new QmpException("chardev: no id specified");
        }

        LegacyOptions.CheckId(id);
        string backend = options.GetValueOrDefault("backend") ?? throw new QmpException($"chardev: \"{id}\" missing backend");
        return new ChardevOption(id, ReadBackend(backend, options));
    }

    /// <summary>Reads <c>stdio</c>, or <c>unix:PATH</c> or <c>tcp:HOST:PORT</c> with socket options behind it, the value of <c>--qmp</c>.</summary>
    /// <remarks>Unlike <c>--chardev</c> it listens unless told otherwise, and never waits unless told to.</remarks>
    /// <exception cref="QmpException">It is malformed.</exception>
    public static ChardevOption ParseAddress(string id, string text)
    {
        if (text == "stdio")
        {
            return new ChardevOption(id, ReadBackend(text, []));
        }

        int colon = text.IndexOf(':');
        string family = colon < 0 ? "" : text[..colon];
        if (family is not ("unix" or "tcp"))
        {
            throw new QmpException("expected unix:PATH or tcp:HOST:PORT, with [,server=on][,wait=off] behind it");
        }

        Dictionary<string, string> options = LegacyOptions.Parse(text[(colon + 1)..], "path");
        LegacyOptions.CheckKnown(options, ["path", "server", "wait", "to", "ipv4", "ipv6", "abstract", "tight", "reconnect"]);
        if (family == "tcp")
        {
            SplitHost(options);
        }

        options.TryAdd("server", "on");
        if (options["server"] == "on")
        {
            options.TryAdd("wait", "off");
        }

        return new ChardevOption(id, ReadBackend("socket", options));
    }

    private static void SplitHost(Dictionary<string, string> options)
    {
        options.Remove("path", out string? address);
        int colon = address?.LastIndexOf(':') ?? -1;
        if (colon < 0)
        {
            throw new QmpException($"error parsing address '{address}'");
        }

        options["host"] = address![..colon].Trim('[', ']');
        options["port"] = address[(colon + 1)..];
    }

    private static ChardevBackend ReadBackend(string name, Dictionary<string, string> options)
    {
        if (!ChardevBackendKindWire.TryParse(name, out ChardevBackendKind kind))
        {
            throw new QmpException($"'{name}' is not a valid char driver name");
        }

        string? log = options.GetValueOrDefault("logfile");
        bool appends = LegacyOptions.Flag(options, "logappend", false);
        return new ChardevBackend
        {
            Type = kind,
            Branch = kind switch
            {
                ChardevBackendKind.Socket => new ChardevSocketWrapper { Data = ReadSocket(options, log, appends) },
                ChardevBackendKind.Stdio => new ChardevStdioWrapper { Data = new() { Logfile = log, Logappend = appends } },
                ChardevBackendKind.Pipe => new ChardevHostdevWrapper
                {
                    Data = new() { Device = Path(options, "chardev: pipe: no device path given"), Logfile = log, Logappend = appends },
                },
                ChardevBackendKind.File => new ChardevFileWrapper { Data = ReadFile(options, log, appends) },
                ChardevBackendKind.Null => new ChardevCommonWrapper { Data = new() { Logfile = log, Logappend = appends } },
                _ => new ChardevRingbufWrapper { Data = new() { Size = LegacyOptions.Size(options, "size"), Logfile = log, Logappend = appends } },
            },
        };
    }

    private static string Path(Dictionary<string, string> options, string absent) =>
        options.GetValueOrDefault("path") ?? throw new QmpException(absent);

    private static ChardevFile ReadFile(Dictionary<string, string> options, string? log, bool appends) => new()
    {
        Out = Path(options, "chardev: file: no filename given"),
        In = options.GetValueOrDefault("input-path"),
        Append = LegacyOptions.Flag(options, "append", false),
        Logfile = log,
        Logappend = appends,
    };

    private static ChardevSocket ReadSocket(Dictionary<string, string> options, string? log, bool appends)
    {
        bool isServer = LegacyOptions.Flag(options, "server", false);
        return new ChardevSocket
        {
            Addr = ReadAddress(options),
            Server = isServer,
            Wait = isServer || options.ContainsKey("wait") ? LegacyOptions.Flag(options, "wait", true) : null,
            Reconnect = LegacyOptions.Number(options, "reconnect"),
            Logfile = log,
            Logappend = appends,
        };
    }

    private static SocketAddressLegacy ReadAddress(Dictionary<string, string> options)
    {
        string? path = options.GetValueOrDefault("path");
        string? host = options.GetValueOrDefault("host");
        string? descriptor = options.GetValueOrDefault("fd");
        if ((path is null ? 0 : 1) + (host is null ? 0 : 1) + (descriptor is null ? 0 : 1) > 1)
        {
            throw new QmpException("None or one of 'path', 'fd' or 'host' option required.");
        }

        if (path is not null)
        {
            bool isAbstract = LegacyOptions.Flag(options, "abstract", false);
            UnixSocketAddress unix = new() { Path = path, Abstract = isAbstract, Tight = LegacyOptions.Flag(options, "tight", true) };
            return new() { Type = SocketAddressType.Unix, Branch = new UnixSocketAddressWrapper { Data = unix } };
        }

        return host is not null
            ? new() { Type = SocketAddressType.Inet, Branch = new InetSocketAddressWrapper { Data = ReadInet(host, options) } }
            : new() { Type = SocketAddressType.Fd, Branch = new FdSocketAddressWrapper { Data = new() { Str = descriptor ?? "" } } };
    }

    private static InetSocketAddress ReadInet(string host, Dictionary<string, string> options) => new()
    {
        Host = host,
        Port = options.GetValueOrDefault("port") ?? throw new QmpException("chardev: socket: no port given"),
        To = (ushort?)LegacyOptions.Number(options, "to"),
        Ipv4 = options.ContainsKey("ipv4") ? LegacyOptions.Flag(options, "ipv4", false) : null,
        Ipv6 = options.ContainsKey("ipv6") ? LegacyOptions.Flag(options, "ipv6", false) : null,
    };
}
