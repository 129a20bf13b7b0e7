using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Monitor.Block;
using Monitor.Qapi;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Storage.Exports;

/// <summary>Turns a QAPI socket address into listening sockets.</summary>
internal static class NbdListenAddress
{
    private const int Backlog = 128;

    /// <summary>Listens on an address; a host name may stand for several.</summary>
    /// <exception cref="QmpException">It cannot be listened on.</exception>
    public static async Task<IReadOnlyList<Socket>> ListenAsync(SocketAddress address) => address.Type switch
    {
        SocketAddressType.Unix => [ListenUnix(address.Unix)],
        SocketAddressType.Inet => await ListenInetAsync(address.Inet),
        SocketAddressType.Fd => [Adopt(address.Fd.Str)],
        _ => throw new QmpException("vsock is not supported"),
    };

    /// <summary>The address in a log line.</summary>
    public static string Describe(SocketAddress address) => address.Type switch
    {
        SocketAddressType.Unix => $"unix:{address.Unix.Path}",
        SocketAddressType.Inet => $"{address.Inet.Host}:{address.Inet.Port}",
        _ => $"descriptor {address.Fd.Str}",
    };

    private static Socket ListenUnix(UnixSocketAddress address)
    {
        bool isAbstract = address.Abstract == true;
        try
        {
            if (!isAbstract && File.Exists(address.Path))
            {
                File.Delete(address.Path);
            }

            return Listen(new UnixDomainSocketEndPoint(isAbstract ? "\0" + address.Path : address.Path));
        }
        catch (SocketException e)
        {
            // The framework folds ENOENT into this one, which no UNIX socket gives.
            int errno = e.SocketErrorCode == SocketError.AddressNotAvailable ? Errno.ENOENT : e.NativeErrorCode;
            throw new QmpException($"Failed to bind socket to {address.Path}: {Errno.Describe(errno)}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QmpException($"Failed to unlink socket {address.Path}: {e.Message}");
        }
        catch (ArgumentOutOfRangeException)
        {
            throw new QmpException($"UNIX socket path '{address.Path}' is too long");
        }
    }

    private static async Task<IReadOnlyList<Socket>> ListenInetAsync(InetSocketAddress address)
    {
        if (!ushort.TryParse(address.Port, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            throw new QmpException($"address resolution failed for {address.Host}:{address.Port}: Servname not supported for ai_socktype");
        }

        IPAddress[] hosts = await ResolveAsync(address);
        for (int candidate = port; ; candidate++)
        {
            try
            {
                return ListenOn(hosts, candidate);
            }
            catch (SocketException e) when (candidate >= (address.To ?? port))
            {
                throw new QmpException($"Failed to find an available port: {Errno.Describe(e.NativeErrorCode)}");
            }
            catch (SocketException)
            {
                // The next port of the range may be free.
            }
        }
    }

    private static async Task<IPAddress[]> ResolveAsync(InetSocketAddress address)
    {
        if (address.Host.Length == 0)
        {
            return [address.Ipv6 == false || !Socket.OSSupportsIPv6 ? IPAddress.Any : IPAddress.IPv6Any];
        }

        try
        {
            IPAddress[] found = await Dns.GetHostAddressesAsync(address.Host);
            return [.. found.Distinct().Where(ip => ip.AddressFamily == AddressFamily.InterNetworkV6
                ? address.Ipv6 ?? address.Ipv4 != true
                : address.Ipv4 ?? address.Ipv6 != true)];
        }
        catch (SocketException e)
        {
            throw new QmpException($"address resolution failed for {address.Host}:{address.Port}: {e.Message}");
        }
    }

    /// <summary>Listens on every address that the machine has; port 0 is chosen once for all.</summary>
    private static List<Socket> ListenOn(IPAddress[] hosts, int port)
    {
        var sockets = new List<Socket>();
        SocketException? failure = null;
        foreach (IPAddress host in hosts)
        {
            try
            {
                sockets.Add(Listen(new IPEndPoint(host, port)));
                port = ((IPEndPoint)sockets[0].LocalEndPoint!).Port;
            }
            catch (SocketException e)
            {
                failure = e;
            }
        }

        return sockets.Count > 0 ? sockets : throw failure ?? new SocketException((int)SocketError.AddressNotAvailable);
    }

    private static Socket Listen(EndPoint endPoint)
    {
        bool isUnix = endPoint.AddressFamily == AddressFamily.Unix;
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, isUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        try
        {
            if (!isUnix)
            {
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            }

            if (endPoint is IPEndPoint { Address: var ip } && ip.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            socket.Bind(endPoint);
            socket.Listen(Backlog);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static Socket Adopt(string descriptor)
    {
        if (!int.TryParse(descriptor, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            throw new QmpException($"File descriptor named '{descriptor}' has not been found");
        }

        try
        {
            return new Socket(new SafeSocketHandle(number, ownsHandle: true));
        }
        catch (SocketException)
        {
            throw new QmpException($"File descriptor '{descriptor}' is not a socket");
        }
    }
}
