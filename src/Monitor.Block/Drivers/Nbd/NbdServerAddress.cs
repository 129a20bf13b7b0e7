using System.Net.Sockets;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>An export somewhere: how to reach it and what to call it.</summary>
/// <param name="address">The server.</param>
/// <param name="export">The export's name; null for the default one.</param>
/// <param name="context">The meta context whose extents are shown as allocation.</param>
internal sealed class NbdServerAddress(SocketAddress address, string? export, string context)
{
    /// <summary>The short form of the name, such as <c>nbd://host:10809/disk</c>; null where that does not say enough.</summary>
    public string? Uri
    {
        get
        {
            switch (address.Type)
            {
                case SocketAddressType.Unix when address.Unix.Path.Length > 0:
                    return export is null ? $"nbd+unix://?socket={address.Unix.Path}" : $"nbd+unix:///{export}?socket={address.Unix.Path}";
                case SocketAddressType.Inet when address.Inet is { Ipv4: null, Ipv6: null, To: null } inet:
                    return $"nbd://{inet.Host}:{inet.Port}{(export is null ? "" : "/" + export)}";
                default:
                    return null;
            }
        }
    }

    /// <summary>The options that make the node, as JSON.</summary>
    public string OptionsJson
    {
        get
        {
            var options = new OptionsText("nbd");
            foreach (var (name, value) in Members(address))
            {
                options.Add("server." + name, value);
            }

            return (export is null ? options : options.AddText("export", export)).ToString();
        }
    }

    /// <summary>An address as the options of QEMU's flat form: member names and values in JSON.</summary>
    public static IEnumerable<(string Name, string Value)> Members(SocketAddress address)
    {
        yield return ("type", OptionsText.Quote(address.Type.ToWire()));
        switch (address.Type)
        {
            case SocketAddressType.Unix:
                yield return ("path", OptionsText.Quote(address.Unix.Path));
                foreach (var member in Flags(("abstract", address.Unix.Abstract), ("tight", address.Unix.Tight)))
                {
                    yield return member;
                }

                break;
            case SocketAddressType.Inet:
                InetSocketAddress inet = address.Inet;
                yield return ("host", OptionsText.Quote(inet.Host));
                yield return ("port", OptionsText.Quote(inet.Port));
                if (inet.To is { } to)
                {
                    yield return ("to", $"{to}");
                }

                foreach (var member in Flags(
                    ("numeric", inet.Numeric), ("ipv4", inet.Ipv4), ("ipv6", inet.Ipv6), ("keep-alive", inet.KeepAlive), ("mptcp", inet.Mptcp)))
                {
                    yield return member;
                }

                break;
            case SocketAddressType.Fd:
                yield return ("str", OptionsText.Quote(address.Fd.Str));
                break;
        }
    }

    /// <summary>Connects and negotiates; blocks.</summary>
    /// <param name="ended">Ends the attempt.</param>
    /// <exception cref="QmpException">The server cannot be reached or refuses.</exception>
    public (Socket Socket, NbdClientExport Export) Connect(CancellationToken ended)
    {
        Socket socket = ConnectedSocket.Open(address, ended);
        try
        {
            using CancellationTokenRegistration end = ended.Register(socket.Dispose);
            using var stream = new NetworkStream(socket);
            return (socket, NbdClientHandshake.Connect(stream, export ?? "", context));
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            socket.Dispose();
            throw new QmpException(ended.IsCancellationRequested ? "Connection attempt cancelled by timeout" : e.Message);
        }
    }

    /// <inheritdoc/>
    public override string ToString() => Uri ?? "nbd " + OptionsJson;

    private static IEnumerable<(string Name, string Value)> Flags(params IEnumerable<(string Name, bool? Value)> flags) =>
        from flag in flags where flag.Value is not null select (flag.Name, flag.Value == true ? "true" : "false");
}
