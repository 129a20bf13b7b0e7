using System.Globalization;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>Turns the name of an image, as a client writes it, into the options of the node that holds its bytes.</summary>
/// <remarks>
/// A path; or <c>file:PATH</c>, <c>host_device:PATH</c>, <c>json:{...}</c>, <c>nbd://HOST[:PORT]/[EXPORT]</c>, <c>nbd+unix:///[EXPORT]?socket=PATH</c>,
/// <c>nbd:HOST:PORT[:exportname=EXPORT]</c>, <c>nbd:unix:PATH[:exportname=EXPORT]</c>, <c>null-co://</c>. Names that stand inside an image are not read
/// here but by <see cref="BackingFileOptions"/>: an image must not make the daemon connect anywhere.
/// </remarks>
public static class ImageFileName
{
    private const string ExportMark = ":exportname=";

    /// <summary>The options of the node.</summary>
    /// <exception cref="QmpException">The protocol is unknown, or the name is not of its form.</exception>
    public static BlockdevOptions Parse(string name)
    {
        int colon = name.IndexOf(':', StringComparison.Ordinal);
        int slash = name.IndexOf('/', StringComparison.Ordinal);
        string rest = name[(colon + 1)..];
        return colon < 0 || (slash >= 0 && slash < colon) ? File(name) : name[..colon] switch
        {
            "file" => File(rest),
            "host_device" => new BlockdevOptions { Driver = BlockdevDriver.HostDevice, Branch = new BlockdevOptionsFile { Filename = rest } },
            "json" => BlockdevOptions.Read(QmpInputVisitor.Parse(rest), null),
            "null-co" => Null(BlockdevDriver.NullCo),
            "null-aio" => Null(BlockdevDriver.NullAio),
            "nbd" when !rest.StartsWith("//", StringComparison.Ordinal) => Nbd(ParseLegacy(rest)),
            "nbd" or "nbd+tcp" or "nbd+unix" => Nbd(ParseUri(name)),
            { } protocol => throw new QmpException($"Unknown protocol '{protocol}'"),
        };
    }

    /// <summary>The options of a file's node.</summary>
    internal static BlockdevOptions File(string path) =>
        new() { Driver = BlockdevDriver.File, Branch = new BlockdevOptionsFile { Filename = path } };

    private static BlockdevOptions Null(BlockdevDriver driver) => new() { Driver = driver, Branch = new BlockdevOptionsNull() };

    private static BlockdevOptions Nbd(BlockdevOptionsNbd options) => new() { Driver = BlockdevDriver.Nbd, Branch = options };

    private static BlockdevOptionsNbd ParseLegacy(string text)
    {
        int mark = text.IndexOf(ExportMark, StringComparison.Ordinal);
        string? export = mark < 0 ? null : text[(mark + ExportMark.Length)..];
        string place = mark < 0 ? text : text[..mark];
        const string UnixMark = "unix:";
        if (place.StartsWith(UnixMark, StringComparison.Ordinal))
        {
            return new BlockdevOptionsNbd { Server = Unix(place[UnixMark.Length..]), Export = export };
        }

        int colon = place.LastIndexOf(':');
        return colon > 0
            ? new BlockdevOptionsNbd { Server = Inet(place[..colon].Trim('[', ']'), place[(colon + 1)..]), Export = export }
            : throw new QmpException($"host/port '{place}' is not of the form host:port");
    }

    private static BlockdevOptionsNbd ParseUri(string name)
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
                ? new BlockdevOptionsNbd { Server = Unix(Uri.UnescapeDataString(socket["socket=".Length..])), Export = export }
                : throw new QmpException("No valid URL specified");
        }

        string port = (uri.Port > 0 ? uri.Port : NbdProtocol.DefaultPort).ToString(CultureInfo.InvariantCulture);
        return uri.Host.Length > 0 && uri.Query.Length == 0
            ? new BlockdevOptionsNbd { Server = Inet(uri.Host.Trim('[', ']'), port), Export = export }
            : throw new QmpException("No valid URL specified");
    }

    private static SocketAddress Unix(string path) =>
        new() { Type = SocketAddressType.Unix, Branch = new UnixSocketAddress { Path = path } };

    private static SocketAddress Inet(string host, string port) =>
        new() { Type = SocketAddressType.Inet, Branch = new InetSocketAddress { Host = host, Port = port } };
}
