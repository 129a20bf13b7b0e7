using System.Globalization;
using Monitor.Block.Drivers;
using Monitor.Block.Io;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Qapi.Keyval;

namespace Monitor.Block;

/// <summary>Turns the name of an image, as a client writes it, into the options of the node that holds its bytes.</summary>
/// <remarks>
/// A path, a device's too; or <c>file:PATH</c>, <c>host_device:PATH</c>, <c>json:{...}</c>, <c>nbd://HOST[:PORT]/[EXPORT]</c>,
/// <c>nbd+unix:///[EXPORT]?socket=PATH</c>, <c>nbd:HOST:PORT[:exportname=EXPORT]</c>, <c>nbd:unix:PATH[:exportname=EXPORT]</c>, <c>null-co://</c>,
/// <c>blkdebug:[CONFIG]:NAME</c>, <c>blkverify:NAME:IMAGE</c>. Names that stand inside an image are not read here but by
/// <see cref="BackingFileOptions"/>: an image must not make the daemon connect anywhere.
/// </remarks>
public static class ImageFileName
{
    private const string ExportMark = ":exportname=";
    private const string DevicePrefix = "/dev/";

    /// <summary>The options of the node.</summary>
    /// <exception cref="QmpException">The protocol is unknown, or the name is not of its form.</exception>
    public static BlockdevOptions Parse(string name) => BlockdevOptions.Read(KeyvalParser.Parse(Words(name)), null);

    /// <summary>The same in the words of <c>--blockdev</c>. An image of <c>blkverify</c> is looked into, to find its format.</summary>
    /// <exception cref="QmpException">The protocol is unknown, the name is not of its form, or the image cannot be opened.</exception>
    public static IEnumerable<(string Key, string Value)> Words(string name)
    {
        int colon = name.IndexOf(':', StringComparison.Ordinal);
        int slash = name.IndexOf('/', StringComparison.Ordinal);
        string rest = name[(colon + 1)..];
        return colon < 0 || (slash >= 0 && slash < colon) ? Path(name) : name[..colon] switch
        {
            "file" => Path(BlockdevDriver.File, rest),
            "host_device" => Path(BlockdevDriver.HostDevice, rest),
            "json" => Json(rest),
            "null-co" or "null-aio" => [("driver", name[..colon])],
            "blkdebug" => Blkdebug(rest),
            "blkverify" => Blkverify(rest),
            "nbd" when !rest.StartsWith("//", StringComparison.Ordinal) => NbdLegacy(rest),
            "nbd" or "nbd+tcp" or "nbd+unix" => NbdUri(name),
            { } protocol => throw new QmpException($"Unknown protocol '{protocol}'"),
        };
    }

    /// <summary>The options of a path's node.</summary>
    internal static BlockdevOptions File(string path) =>
        new() { Driver = DriverOf(path), Branch = new BlockdevOptionsFile { Filename = path } };

    /// <summary>The driver of a path: devices have one of their own.</summary>
    public static BlockdevDriver DriverOf(string path) =>
        path.StartsWith(DevicePrefix, StringComparison.Ordinal) && PosixFile.IsDevice(path) ? BlockdevDriver.HostDevice : BlockdevDriver.File;

    private static List<(string Key, string Value)> Json(string text)
    {
        try
        {
            return KeyvalParser.Flatten(text);
        }
        catch (QmpException e)
        {
            throw new QmpException($"Could not parse the JSON options: {e.Message}");
        }
    }

    private static (string Key, string Value)[] Path(string path) => Path(DriverOf(path), path);

    private static (string Key, string Value)[] Path(BlockdevDriver driver, string path) => [("driver", driver.ToWire()), ("filename", path)];

    private static IEnumerable<(string Key, string Value)> Below(string child, IEnumerable<(string Key, string Value)> words) =>
        words.Select(word => ($"{child}.{word.Key}", word.Value));

    private static IEnumerable<(string Key, string Value)> Blkdebug(string text)
    {
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            throw new QmpException("blkdebug requires both config file and image path");
        }

        (string Key, string Value)[] configuration = colon > 0 ? [("config", text[..colon])] : [];
        return [("driver", "blkdebug"), .. configuration, .. Below("image", Words(text[(colon + 1)..]))];
    }

    private static IEnumerable<(string Key, string Value)> Blkverify(string text)
    {
        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0)
        {
            throw new QmpException("blkverify requires raw copy and original image path");
        }

        return [("driver", "blkverify"), .. Below("raw", Words(text[..colon])), .. Below("test", Image(text[(colon + 1)..]))];
    }

    /// <summary>The words of an image whose format nobody names.</summary>
    private static IEnumerable<(string Key, string Value)> Image(string name)
    {
        (string Key, string Value)[] file = [.. Words(name)];
        BlockdevDriver format = file is [(_, "file"), (_, var path)] ? ImageProbe.Probe(path) : BlockdevDriver.Raw;
        return [("driver", format.ToWire()), .. Below("file", file)];
    }

    private static (string Key, string Value)[] NbdLegacy(string text)
    {
        int mark = text.IndexOf(ExportMark, StringComparison.Ordinal);
        string? export = mark < 0 ? null : text[(mark + ExportMark.Length)..];
        string place = mark < 0 ? text : text[..mark];
        const string UnixMark = "unix:";
        if (place.StartsWith(UnixMark, StringComparison.Ordinal))
        {
            return Nbd(export, Unix(place[UnixMark.Length..]));
        }

        int colon = place.LastIndexOf(':');
        return colon > 0
            ? Nbd(export, Inet(place[..colon].Trim('[', ']'), place[(colon + 1)..]))
            : throw new QmpException($"error parsing address '{place}'");
    }

    private static (string Key, string Value)[] NbdUri(string name)
    {
        if (!Uri.TryCreate(name, UriKind.Absolute, out Uri? uri))
        {
            throw new QmpException("No valid URL specified");
        }

        string path = Uri.UnescapeDataString(uri.AbsolutePath).TrimStart('/');
        string? export = path.Length > 0 ? path : null;
        string? socket = uri.Query.TrimStart('?').Split('&').FirstOrDefault(part => part.StartsWith("socket=", StringComparison.Ordinal));
        if (uri.Scheme == "nbd+unix")
        {
            return socket is not null && uri.Host.Length == 0
                ? Nbd(export, Unix(Uri.UnescapeDataString(socket["socket=".Length..])))
                : throw new QmpException("No valid URL specified");
        }

        string port = (uri.Port > 0 ? uri.Port : NbdProtocol.DefaultPort).ToString(CultureInfo.InvariantCulture);
        return uri.Host.Length > 0 && uri.Query.Length == 0
            ? Nbd(export, Inet(uri.Host.Trim('[', ']'), port))
            : throw new QmpException("No valid URL specified");
    }

    private static (string Key, string Value)[] Nbd(string? export, (string Key, string Value)[] server)
    {
        (string Key, string Value)[] name = export is null ? [] : [("export", export)];
        return [("driver", "nbd"), .. server, .. name];
    }

    private static (string Key, string Value)[] Unix(string path) => [("server.type", "unix"), ("server.path", path)];

    private static (string Key, string Value)[] Inet(string host, string port) => [("server.type", "inet"), ("server.host", host), ("server.port", port)];
}
