using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Testing;

/// <summary>Lets the processes that a test starts have its sockets too.</summary>
public static partial class InheritedDescriptors
{
    private const int SetDescriptorFlags = 2;

    /// <summary>Lets a socket be inherited.</summary>
    /// <returns>Its number, the same for who inherits it.</returns>
    public static int Share(Socket socket)
    {
        int descriptor = (int)socket.Handle;
        return SetFlags(descriptor, SetDescriptorFlags, 0) == 0 ? descriptor : throw new InvalidOperationException(Marshal.GetLastPInvokeErrorMessage());
    }

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int SetFlags(int descriptor, int command, int flags);
}
