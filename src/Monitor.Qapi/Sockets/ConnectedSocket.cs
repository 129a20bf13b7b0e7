using System.Net;
using System.Net.Sockets;

namespace Monitor.Qapi;

/// <summary>Connects to a QAPI socket address.</summary>
public static class ConnectedSocket
{
    /// <summary>Connects, or takes over a descriptor that is connected already; may wait as long as the network likes.</summary>
    /// <param name="address">Where to.</param>
    /// <param name="ended">Ends the wait: then connecting fails.</param>
    /// <returns>In blocking mode.</returns>
    /// <exception cref="QmpException">It cannot be connected to.</exception>
    public static Socket Open(SocketAddress address, CancellationToken ended = default) => address.Type switch
    {
        SocketAddressType.Unix => OpenUnix(address.Unix, ended),
        SocketAddressType.Inet => OpenInet(address.Inet, ended),
        SocketAddressType.Fd => NamedDescriptors.TakeSocket(address.Fd.Str),
        _ => throw new QmpException("vsock is not supported"),
    };

    private static Socket OpenUnix(UnixSocketAddress address, CancellationToken ended)
    {
        try
        {
            return Connect(UnixEndPoint.Make(address), ProtocolType.Unspecified, ended);
        }
        catch (SocketException e)
        {
            throw new QmpException($"Failed to connect to '{address.Path}': {SocketErrorText.Of(e)}");
        }
    }

    private static Socket OpenInet(InetSocketAddress address, CancellationToken ended)
    {
        int port = InetHost.ParsePort(address);
        SocketException? failure = null;
        foreach (IPAddress host in InetHost.ResolveAsync(address).GetAwaiter().GetResult())
        {
            try
            {
                Socket socket = Connect(new IPEndPoint(host, port), ProtocolType.Tcp, ended);
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

    private static Socket Connect(EndPoint endPoint, ProtocolType protocol, CancellationToken ended)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, protocol);
        try
        {
            using CancellationTokenRegistration end = ended.Register(socket.Dispose);
            socket.Connect(endPoint);
            return socket;
        }
        catch (ObjectDisposedException)
        {
            throw new SocketException((int)SocketError.TimedOut);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
