using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;

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

    /// <inheritdoc/>
    public override int Receive(Span<byte> buffer) => Math.Max(socket.Receive(buffer, SocketFlags.None, out _), 0);

    /// <inheritdoc/>
    public override void EndReceiving() => Shutdown(SocketShutdown.Receive);

    /// <inheritdoc/>
    public override void End() => Shutdown(SocketShutdown.Both);

    /// <inheritdoc/>
    public override string DescribePeer()
    {
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            return socket.RemoteEndPoint?.ToString() ?? "unknown peer";
        }

        Span<byte> credentials = stackalloc byte[12];
        socket.GetRawSocketOption(SocketLevel, PeerCredentials, credentials);
        int process = BinaryPrimitives.ReadInt32LittleEndian(credentials);
        int user = BinaryPrimitives.ReadInt32LittleEndian(credentials[4..]);
        return $"pid {process} uid {user}";
    }

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

    private void Shutdown(SocketShutdown how)
    {
        try
        {
            socket.Shutdown(how);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            DaemonLog.Debug("Qmp", $"shutdown of a connection that is gone: {e.Message}");
        }
    }
}
