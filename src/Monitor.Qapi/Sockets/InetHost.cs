using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Monitor.Qapi;

/// <summary>Finds the addresses and the port that a TCP address names.</summary>
public static class InetHost
{
    /// <summary>The port's number.</summary>
    /// <exception cref="QmpException">It is none.</exception>
    public static int ParsePort(InetSocketAddress address) =>
        ushort.TryParse(address.Port, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port)
            ? port
            : throw Unresolved(address, "Servname not supported for ai_socktype");

    /// <summary>The host's addresses of the wanted versions of IP; an empty host is every local address.</summary>
    /// <exception cref="QmpException">There are none.</exception>
    public static async Task<IPAddress[]> ResolveAsync(InetSocketAddress address)
    {
        if (address is { Ipv4: false, Ipv6: false })
        {
            throw new QmpException("Cannot disable IPv4 and IPv6 at same time");
        }

        bool isVersion6Wanted = address.Ipv6 ?? address.Ipv4 != true;
        bool isVersion4Wanted = address.Ipv4 ?? address.Ipv6 != true;
        if (address.Host.Length == 0)
        {
            return [isVersion6Wanted && Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any];
        }

        IPAddress[] found;
        try
        {
            // Dns refuses 0.0.0.0 and ::, which are where servers listen.
            found = IPAddress.TryParse(address.Host, out IPAddress? literal) ? [literal] : await Dns.GetHostAddressesAsync(address.Host);
        }
        catch (SocketException e)
        {
            throw Unresolved(address, SocketErrorText.Of(e));
        }
        catch (ArgumentException)
        {
            throw Unresolved(address, "Name or service not known");
        }

        IPAddress[] wanted = [.. found.Distinct()
            .Where(ip => ip.AddressFamily == AddressFamily.InterNetworkV6 ? isVersion6Wanted : isVersion4Wanted)
            .OrderBy(ip => ip.AddressFamily == AddressFamily.InterNetworkV6)];
        return wanted.Length > 0 ? wanted : throw Unresolved(address, "Address family for hostname not supported");
    }

    private static QmpException Unresolved(InetSocketAddress address, string reason) =>
        new($"address resolution failed for {address.Host}:{address.Port}: {reason}");
}
