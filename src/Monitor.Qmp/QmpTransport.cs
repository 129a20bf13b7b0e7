using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Monitor.Qmp;

/// <summary>The only place that knows what carries a session's bytes: a connected stream socket.</summary>
/// <remarks>
/// The socket stays in blocking mode, so a receive costs one system call and no pool thread; that is why writers that must not wait send
/// with <c>MSG_DONTWAIT</c> instead of using the asynchronous calls, which would switch its mode.
/// </remarks>
/// <param name="socket">Connected; owned from now on.</param>
internal sealed partial class QmpTransport(Socket socket) : IDisposable
{
    private const int DontWait = 0x40;

    private const int NoSignal = 0x4000;

    private const int Interrupted = 4;

    private const int TryAgain = 11;

    private const int SocketLevel = 1;

    private const int PeerCredentials = 17;

    /// <summary>Waits for bytes.</summary>
    /// <returns>How many came; 0 when the peer or we ended the connection.</returns>
    public int Receive(Span<byte> buffer) => Math.Max(socket.Receive(buffer, SocketFlags.None, out _), 0);

    /// <summary>Sends what fits without waiting.</summary>
    /// <returns>How many bytes were taken; 0 when none fit; -1 when the connection is gone.</returns>
    public int TrySend(ReadOnlySpan<byte> bytes) => Send(bytes, DontWait | NoSignal);

    /// <summary>Sends at least one byte, waiting for the peer to read.</summary>
    /// <returns>How many bytes were taken; -1 when the connection is gone.</returns>
    public int Send(ReadOnlySpan<byte> bytes) => Send(bytes, NoSignal);

    /// <summary>Lets <see cref="Receive"/> return what has come and then 0; sending goes on.</summary>
    public void EndReceiving() => Shutdown(SocketShutdown.Receive);

    /// <summary>Ends both directions and wakes whoever waits in a call.</summary>
    public void End() => Shutdown(SocketShutdown.Both);

    /// <summary>Who is at the other end, for the log.</summary>
    public string DescribePeer()
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
    public void Dispose() => socket.Dispose();

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint SendCall(SafeSocketHandle socket, ref readonly byte bytes, nint length, int flags);

    private int Send(ReadOnlySpan<byte> bytes, int flags)
    {
        for (; ; )
        {
            nint sent = SendCall(socket.SafeHandle, in MemoryMarshal.GetReference(bytes), bytes.Length, flags);
            if (sent >= 0)
            {
                return (int)sent;
            }

            int error = Marshal.GetLastPInvokeError();
            if (error != Interrupted)
            {
                return error == TryAgain ? 0 : -1;
            }
        }
    }

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
