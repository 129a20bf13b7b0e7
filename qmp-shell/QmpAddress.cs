using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace QmpShell;

/// <summary>Where a monitor listens.</summary>
/// <param name="EndPoint">The socket's address.</param>
public sealed record QmpAddress(EndPoint EndPoint)
{
    /// <summary>Parses <c>HOST:PORT</c>, or else the path of a UNIX socket; <c>tcp:</c> and <c>unix:</c> before it say which.</summary>
    /// <param name="text">What the user wrote.</param>
    /// <exception cref="FormatException">It is <c>tcp:</c> without a port.</exception>
    public static QmpAddress Parse(string text)
    {
        if (text.StartsWith("unix:", StringComparison.Ordinal))
        {
            return OnUnixSocket(text["unix:".Length..]);
        }

        bool mustBeTcp = text.StartsWith("tcp:", StringComparison.Ordinal);
        string rest = mustBeTcp ? text["tcp:".Length..] : text;
        int colon = rest.LastIndexOf(':');
        if (colon >= 0 && ushort.TryParse(rest[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            string host = rest[..colon].Trim('[', ']');
            return new QmpAddress(new DnsEndPoint(host.Length == 0 ? "localhost" : host, port));
        }

        return mustBeTcp ? throw new FormatException($"'{text}' has no port") : OnUnixSocket(text);
    }

    /// <summary>Makes a socket of the right kind, not connected.</summary>
    public Socket CreateSocket() => EndPoint is UnixDomainSocketEndPoint
        ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
        : new Socket(SocketType.Stream, ProtocolType.Tcp);

    private static QmpAddress OnUnixSocket(string path) => new(new UnixDomainSocketEndPoint(path));
}
