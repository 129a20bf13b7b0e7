using System.Globalization;
using System.Net.Sockets;

namespace Monitor.Qapi;

/// <summary>Open descriptors that clients name instead of an address: those given to <c>getfd</c>, and while the command line is read inherited ones by number.</summary>
/// <remarks>Numbers are the command line's alone: a client that could name any number could take the daemon's own files from it.</remarks>
public static class NamedDescriptors
{
    private static volatile bool s_isStarted;

    /// <summary>Ends the time in which a number names an inherited descriptor.</summary>
    public static void EndInheritance() => s_isStarted = true;

    /// <summary>Takes a socket out.</summary>
    /// <param name="name">Given to <c>getfd</c>, or a number while the command line is read.</param>
    /// <returns>The caller's from now on, in blocking mode.</returns>
    /// <exception cref="QmpException">There is no such descriptor, or it is no socket.</exception>
    public static Socket TakeSocket(string name)
    {
        if (DescriptorNames.Current?.Take(name) is { } handle)
        {
            int descriptor = (int)handle.DangerousGetHandle();
            handle.SetHandleAsInvalid();
            return MakeSocket(descriptor, name);
        }

        if (s_isStarted)
        {
            throw new QmpException($"File descriptor named '{name}' has not been found");
        }

        if (!int.TryParse(name, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number))
        {
            throw new QmpException($"Unable to parse FD number {name}");
        }

        return MakeSocket(number, name);
    }

    private static Socket MakeSocket(int descriptor, string name)
    {
        var handle = new SafeSocketHandle(descriptor, ownsHandle: true);
        try
        {
            var socket = new Socket(handle) { Blocking = true };
            socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Type);
            return socket;
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            handle.Dispose();
            throw new QmpException($"File descriptor '{name}' is not a socket");
        }
    }
}
