using System.Net;
using System.Net.Sockets;
using SocketAddress = Monitor.Qapi.SocketAddress;

namespace Monitor.Qmp;

/// <summary>Turns a QAPI socket address into listening sockets.</summary>
public static class ListeningSockets
{
    private const int Backlog = 128;

    /// <summary>Descriptors that clients leave to images and to the runtime, unless the limit is so low that a quarter of it is less.</summary>
    private const int ReservedDescriptors = 64;

    /// <summary>Listens on an address; a host name may stand for several, an empty path for a new one.</summary>
    /// <param name="address">Where.</param>
    /// <param name="isOwnerOnly">Whether only our own user may connect to a UNIX socket's file.</param>
    /// <returns>At least one socket, in blocking mode.</returns>
    /// <exception cref="QmpException">It cannot be listened on.</exception>
    public static async Task<IReadOnlyList<Socket>> OpenAsync(SocketAddress address, bool isOwnerOnly) => address.Type switch
    {
        SocketAddressType.Unix => [OpenUnix(address.Unix, isOwnerOnly)],
        SocketAddressType.Inet => await OpenInetAsync(address.Inet),
        SocketAddressType.Fd => [Adopt(address.Fd.Str)],
        _ => throw new QmpException("vsock is not supported"),
    };

    /// <summary>Waits for a client.</summary>
    /// <param name="listener">Listens, in blocking mode.</param>
    /// <returns>The connection; <see langword="null"/> when the client was turned away, because the last descriptors are not for clients.</returns>
    /// <exception cref="SocketException">None can be accepted now.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed.</exception>
    public static Socket? Accept(Socket listener)
    {
        Socket client = listener.Accept();
        if (IsReserved(client.Handle))
        {
            DaemonLog.Warn("Qmp", "a client was turned away: the limit of open files is near");
            client.Dispose();
            return null;
        }

        if (client.AddressFamily != AddressFamily.Unix)
        {
            client.NoDelay = true;
        }

        return client;
    }

    /// <summary>The address in a log line.</summary>
    public static string Describe(SocketAddress address) => address.Type switch
    {
        SocketAddressType.Unix => $"unix:{address.Unix.Path}",
        SocketAddressType.Inet => $"{address.Inet.Host}:{address.Inet.Port}",
        _ => $"descriptor {address.Fd.Str}",
    };

    /// <summary>Removes the file of a UNIX socket that is closed; one that is gone, or that we may not remove, is only logged.</summary>
    public static void RemoveFile(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            DaemonLog.Warn("Qmp", $"socket file not removed: {e.Message}");
        }
    }

    /// <summary>The system gives out the lowest free number, so a high one says that those below it are taken.</summary>
    private static bool IsReserved(nint descriptor) =>
        Libc.GetLimit(Libc.RLIMIT_NOFILE, out Libc.Limit limit) == 0
        && (ulong)descriptor >= limit.Current - Math.Min(ReservedDescriptors, limit.Current / 4);

    private static Socket OpenUnix(UnixSocketAddress address, bool isOwnerOnly)
    {
        bool isFile = address.Abstract != true;
        if (isFile && address.Path.Length == 0)
        {
            address = new() { Path = Path.Combine(Path.GetTempPath(), $"qemu-socket-{Path.GetRandomFileName()}") };
        }

        var endPoint = UnixEndPoint.Make(address);
        try
        {
            if (isFile && IsStale(address.Path, endPoint))
            {
                File.Delete(address.Path);
            }

            return Listen(endPoint, isFile && isOwnerOnly ? address.Path : null);
        }
        catch (SocketException e)
        {
            throw new QmpException($"Failed to bind socket to {address.Path}: {SocketErrorText.Of(e)}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new QmpException($"Failed to unlink socket {address.Path}: {e.Message}");
        }
    }

    /// <summary>Whether the file is a socket that a daemon left behind: a live one, or a file with content, is not ours to take.</summary>
    private static bool IsStale(string path, UnixDomainSocketEndPoint endPoint)
    {
        var file = new FileInfo(path);
        if (!file.Exists || file.Length > 0)
        {
            return false;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            probe.Connect(endPoint);
            return false;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode == SocketError.ConnectionRefused;
        }
    }

    private static async Task<IReadOnlyList<Socket>> OpenInetAsync(InetSocketAddress address)
    {
        int port = InetHost.ParsePort(address);
        IPAddress[] hosts = await InetHost.ResolveAsync(address);
        for (int candidate = port; ; candidate++)
        {
            try
            {
                return ListenOn(hosts, candidate);
            }
            catch (SocketException e) when (candidate >= (address.To ?? port))
            {
                throw new QmpException($"Failed to find an available port: {SocketErrorText.Of(e)}");
            }
            catch (SocketException)
            {
                // The next port of the range may be free.
            }
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
                sockets.Add(Listen(new IPEndPoint(host, port), null));
                port = ((IPEndPoint)sockets[0].LocalEndPoint!).Port;
            }
            catch (SocketException e)
            {
                failure = e;
            }
        }

        return sockets.Count > 0 ? sockets : throw failure ?? new SocketException((int)SocketError.AddressNotAvailable);
    }

    private static Socket Listen(EndPoint endPoint, string? ownersPath)
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
            if (ownersPath is not null)
            {
                File.SetUnixFileMode(ownersPath, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            }

            socket.Listen(Backlog);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static Socket Adopt(string name)
    {
        Socket socket = NamedDescriptors.TakeSocket(name);
        try
        {
            socket.Listen(Backlog);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new QmpException($"Failed to listen on fd socket: {SocketErrorText.Of(e)}");
        }
    }
}
