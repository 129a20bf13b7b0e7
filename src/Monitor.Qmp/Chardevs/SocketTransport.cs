using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Qmp;

/// <summary>A session over a connected stream socket.</summary>
/// <remarks>
/// The socket stays in blocking mode, so a receive costs one system call and no pool thread; that is why writers that must not wait send
/// with <c>MSG_DONTWAIT</c> instead of using the asynchronous calls, which would switch its mode.
/// </remarks>
/// <param name="socket">Connected; owned from now on.</param>
internal sealed class SocketTransport(Socket socket) : QmpTransport
{
    private const int SocketLevel = 1;

    private const int PeerCredentials = 17;

    private const int PassedDescriptors = 1;

    /// <summary>Descriptors that one message may bring, as in QEMU; the kernel closes further ones.</summary>
    private const int MaximumDescriptors = 16;

    /// <summary><c>struct cmsghdr</c>: a length of 8 bytes, level and type of 4 each.</summary>
    private const int ControlHeaderBytes = 16;

    private readonly ReceivePolling _polling = new();

    /// <inheritdoc/>
    public override unsafe int Receive(Span<byte> buffer)
    {
        Span<byte> control = stackalloc byte[ControlHeaderBytes + (MaximumDescriptors * sizeof(int))];
        fixed (byte* start = buffer, controlStart = control)
        {
            var piece = new Libc.IoVector { Base = start, Length = (nuint)buffer.Length };
            var message = new Libc.MessageHeader { Pieces = &piece, PieceCount = 1, Control = controlStart, ControlLength = (nuint)control.Length };
            nint received = ReceiveMessage(&message);
            if (message.ControlLength > ControlHeaderBytes)
            {
                Descriptors = ReadDescriptors(control[..(int)message.ControlLength]);
            }

            return (int)Math.Max(received, 0);
        }
    }

    private unsafe nint ReceiveMessage(Libc.MessageHeader* message)
    {
        _polling.Begin();
        while (true)
        {
            nint received = Libc.ReceiveMessage(socket.SafeHandle, message, Libc.MSG_CMSG_CLOEXEC | (_polling.IsLooking ? Libc.MSG_DONTWAIT : 0));
            int error = received < 0 ? Marshal.GetLastPInvokeError() : 0;
            if (error is not (Libc.EINTR or Libc.EAGAIN))
            {
                _polling.End();
                return received;
            }

            if (error == Libc.EAGAIN)
            {
                _polling.LookAgain();
            }
        }
    }

    /// <inheritdoc/>
    public override string DescribePeer()
    {
        try
        {
            return socket.AddressFamily == AddressFamily.Unix ? DescribeProcess() : $"{socket.RemoteEndPoint}";
        }
        catch (SocketException)
        {
            return "a peer that has left";
        }
    }

    /// <inheritdoc/>
    protected override void EndReceivingCore() => Shutdown(SocketShutdown.Receive);

    /// <inheritdoc/>
    protected override void EndCore() => Shutdown(SocketShutdown.Both);

    /// <inheritdoc/>
    protected override int SendCore(ReadOnlySpan<byte> bytes, bool isWaiting)
    {
        int flags = isWaiting ? Libc.MSG_NOSIGNAL : Libc.MSG_NOSIGNAL | Libc.MSG_DONTWAIT;
        for (; ; )
        {
            nint sent = Libc.Send(socket.SafeHandle, in MemoryMarshal.GetReference(bytes), bytes.Length, flags);
            if (sent >= 0)
            {
                return (int)sent;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error != Libc.EINTR)
            {
                return error == Libc.EAGAIN ? 0 : -1;
            }
        }
    }

    /// <inheritdoc/>
    protected override void Close() => socket.Dispose();

    private string DescribeProcess()
    {
        Span<byte> credentials = stackalloc byte[12];
        socket.GetRawSocketOption(SocketLevel, PeerCredentials, credentials);
        int process = BinaryPrimitives.ReadInt32LittleEndian(credentials);
        int user = BinaryPrimitives.ReadInt32LittleEndian(credentials[4..]);
        return $"pid {process} uid {user}";
    }

    private static ReceivedDescriptors? ReadDescriptors(ReadOnlySpan<byte> control)
    {
        if (BinaryPrimitives.ReadInt32LittleEndian(control[8..]) != SocketLevel || BinaryPrimitives.ReadInt32LittleEndian(control[12..]) != PassedDescriptors)
        {
            return null;
        }

        int end = (int)BinaryPrimitives.ReadInt64LittleEndian(control);
        ReadOnlySpan<int> numbers = MemoryMarshal.Cast<byte, int>(control[ControlHeaderBytes..end]);
        var handles = new SafeFileHandle[numbers.Length];
        for (int i = 0; i < handles.Length; i++)
        {
            handles[i] = new SafeFileHandle(numbers[i], ownsHandle: true);
        }

        return new ReceivedDescriptors(handles);
    }

    private void Shutdown(SocketShutdown how)
    {
        try
        {
            socket.Shutdown(how);
        }
        catch (SocketException e)
        {
            DaemonLog.Debug("Qmp", $"shutdown of a connection that is gone: {e.Message}");
        }
    }
}
