using System.Net;
using System.Net.Sockets;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>Connects to a QAPI socket address.</summary>
internal static class ConnectedSocket
{
    /// <summary>Connects, or takes over a descriptor that is connected already; may wait as long as the network likes.</summary>
    /// <returns>In blocking mode.</returns>
    /// <exception cref="QmpException">It cannot be connected to.</exception>
    public static Socket Open(SocketAddress address) => address.Type switch
    {
        SocketAddressType.Unix => OpenUnix(address.Unix),
        SocketAddressType.Inet => OpenInet(address.Inet),
        SocketAddressType.Fd => NamedDescriptors.TakeSocket(address.Fd.Str),
        _ => throw new QmpException("vsock is not supported"),
    };

    private static Socket OpenUnix(UnixSocketAddress address)
    {
        try
        {
            return Connect(UnixEndPoint.Make(address), ProtocolType.Unspecified);
        }
        catch (SocketException e)
        {
            throw new QmpException($"Failed to connect to '{address.Path}': {SocketErrorText.Of(e)}");
        }
    }

    private static Socket OpenInet(InetSocketAddress address)
    {
        int port = InetHost.ParsePort(address);
        SocketException? failure = null;
        foreach (IPAddress host in InetHost.ResolveAsync(address).GetAwaiter().GetResult())
        {
            try
            {
                Socket socket = Connect(new IPEndPoint(host, port), ProtocolType.Tcp);
                socket.NoDelay = true;
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, address.KeepAlive == true);
                return socket;
            }
            catch (SocketException e)
            {
                failure = e;
            }
        }

        throw new QmpException($"Failed to connect to '{address.Host}:{address.Port}': {SocketErrorText.Of(failure!)}");
    }

    private static Socket Connect(EndPoint endPoint, ProtocolType protocol)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, protocol);
        try
        {
            socket.Connect(endPoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
