using System.Net;
using System.Net.Sockets;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>Words a socket device as <c>query-chardev</c> shows it.</summary>
internal static class SocketName
{
    /// <summary>A listening socket: its real port, the rest of the address as it was given.</summary>
    public static string OfServer(Socket socket, SocketAddress address) => socket.LocalEndPoint switch
    {
        IPEndPoint ip => $"tcp:{ip.Address}:{ip.Port},server=on",
        UnixDomainSocketEndPoint unix when address.Type != SocketAddressType.Unix => $"unix:{unix},server=on",
        _ => $"{OfAddress(address)},server=on",
    };

    /// <summary>Where a socket listens: with its real host and port, or the path that was chosen for it.</summary>
    public static SocketAddress RealAddress(Socket socket, SocketAddress address) => socket.LocalEndPoint switch
    {
        IPEndPoint ip => new() { Type = SocketAddressType.Inet, Branch = new InetSocketAddress { Host = $"{ip.Address}", Port = $"{ip.Port}" } },
        UnixDomainSocketEndPoint unix when address is { Type: SocketAddressType.Unix, Unix: { Path.Length: 0, Abstract: not true } } =>
            new() { Type = SocketAddressType.Unix, Branch = new UnixSocketAddress { Path = $"{unix}" } },
        _ => address,
    };

    /// <summary>An address to connect to.</summary>
    public static string OfAddress(SocketAddress address) => address.Type switch
    {
        SocketAddressType.Unix => $"unix:{address.Unix.Path}{AbstractOptions(address.Unix)}",
        SocketAddressType.Inet => $"tcp:{address.Inet.Host}:{address.Inet.Port}",
        _ => $"fd:{address.Fd.Str}",
    };

    /// <summary>A connection: our end and the other; of a UNIX socket the path that it was made to.</summary>
    /// <param name="socket">Connected.</param>
    /// <param name="isServer">Whether the other end made it.</param>
    /// <exception cref="SocketException">The other end is gone.</exception>
    public static string OfConnection(Socket socket, bool isServer)
    {
        string server = isServer ? ",server=on" : "";
        return socket is { LocalEndPoint: IPEndPoint local, RemoteEndPoint: IPEndPoint remote } ? $"tcp:{local}{server} <-> {remote}"
            : $"{socket.LocalEndPoint}" is ['/', ..] path ? $"unix:{path}{server}"
            : $"unix:{server}";
    }

    private static string AbstractOptions(UnixSocketAddress address) => address.Abstract != true
        ? ""
        : address.Tight == false ? ",abstract=on" : ",abstract=on,tight=on";
}
