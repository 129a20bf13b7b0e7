using System.Net.Sockets;
using System.Text;

namespace Monitor.Qapi;

/// <summary>Makes the end point of a UNIX socket's address, in the file system or in the abstract namespace.</summary>
public static class UnixEndPoint
{
    /// <summary>Bytes of a name (<c>sun_path</c>).</summary>
    private const int NameBytes = 108;

    /// <summary>The end point.</summary>
    /// <exception cref="QmpException">The path is too long.</exception>
    public static UnixDomainSocketEndPoint Make(UnixSocketAddress address)
    {
        bool isAbstract = address.Abstract == true;
        int length = Encoding.UTF8.GetByteCount(address.Path);
        if (length >= NameBytes)
        {
            throw new QmpException($"UNIX socket path '{address.Path}' is too long");
        }

        // To the kernel a path that begins with its end is a name of NULs.
        isAbstract |= length == 0;
        bool isFilled = isAbstract && (length == 0 || address.Tight == false);
        return new UnixDomainSocketEndPoint((isAbstract ? "\0" : "") + address.Path + (isFilled ? new string('\0', NameBytes - 1 - length) : ""));
    }
}
