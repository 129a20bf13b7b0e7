using System.Net.Sockets;
using System.Runtime.InteropServices;
using NUnit.Framework;

namespace Testing;

/// <summary>Sends bytes with open descriptors beside them (<c>SCM_RIGHTS</c>), which .NET's sockets cannot.</summary>
public static unsafe partial class DescriptorSender
{
    private const int SocketLevel = 1;
    private const int PassedDescriptors = 1;
    private const int HeaderBytes = 16;

    /// <summary>Sends all bytes in one message.</summary>
    public static void Send(Socket socket, ReadOnlySpan<byte> bytes, params ReadOnlySpan<int> descriptors)
    {
        int length = HeaderBytes + (descriptors.Length * sizeof(int));
        Span<byte> control = stackalloc byte[(length + 7) / 8 * 8];
        control.Clear();
        MemoryMarshal.Write(control, (long)length);
        MemoryMarshal.Write(control[8..], SocketLevel);
        MemoryMarshal.Write(control[12..], PassedDescriptors);
        MemoryMarshal.AsBytes(descriptors).CopyTo(control[HeaderBytes..]);
        fixed (byte* start = bytes, controlStart = control)
        {
            nint* piece = stackalloc nint[] { (nint)start, bytes.Length };
            nint* message = stackalloc nint[] { 0, 0, (nint)piece, 1, (nint)controlStart, control.Length, 0 };
            Assert.That(SendMessage((int)socket.Handle, message, 0), Is.EqualTo((nint)bytes.Length), Marshal.GetLastPInvokeErrorMessage());
        }
    }

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint SendMessage(int socket, nint* message, int flags);
}
