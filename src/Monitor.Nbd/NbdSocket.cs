using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Monitor.Nbd;

/// <summary>A connected stream socket in blocking mode, used by one receiving thread and one sender at a time.</summary>
/// <param name="socket">Becomes this object's own.</param>
/// <remarks>Calls recv(2) and send(2) itself: <see cref="Socket"/> cannot say MSG_DONTWAIT for one call alone.</remarks>
public sealed unsafe partial class NbdSocket(Socket socket) : IDisposable
{
    private const int DontWait = 0x40;
    private const int NoSignal = 0x4000;
    private const int More = 0x8000;

    private const int EINTR = 4;
    private const int EAGAIN = 11;

    private const short PollHangUp = 0x2010;

    private const uint SpliceNonBlocking = 2;

    private readonly int _descriptor = (int)socket.Handle;

    /// <summary>Whether the peer has closed its end; bytes it sent before may still be unread.</summary>
    public bool HasHungUp
    {
        get
        {
            var asked = new PollEntry { Descriptor = _descriptor, Events = PollHangUp };
            return Poll(&asked, 1, 0) > 0;
        }
    }

    /// <summary>Whether a client that filled the socket sleeps until most of it is taken, and bytes can be moved on without waiting.</summary>
    public bool IsLocal { get; } = socket.AddressFamily == AddressFamily.Unix;

    /// <summary>Receives what is there, waiting for the first byte.</summary>
    /// <returns>Bytes received; 0 when the connection is over, whoever ended it.</returns>
    public int Receive(Span<byte> buffer) => Math.Max(0, Receive(buffer, 0));

    /// <summary>Receives what is there.</summary>
    /// <returns>Bytes received; 0 when the connection is over; negative when there is nothing yet.</returns>
    public int TryReceive(Span<byte> buffer) => Receive(buffer, DontWait);

    /// <summary>Fills <paramref name="buffer"/>.</summary>
    /// <returns>Whether the connection lasted that long.</returns>
    public bool ReceiveExactly(Span<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            int received = Receive(buffer);
            if (received == 0)
            {
                return false;
            }

            buffer = buffer[received..];
        }

        return true;
    }

    /// <summary>Moves what is there into a pipe, without waiting; only where <see cref="IsLocal"/> (TCP would wait).</summary>
    /// <returns>Bytes moved; 0 when there is nothing, no room, or an error, which the next receive tells.</returns>
    internal int TryMove(int pipe, int most) => (int)Math.Max(0, Splice(_descriptor, null, pipe, null, (nuint)most, SpliceNonBlocking));

    /// <summary>Sends everything, waiting for the peer to take it.</summary>
    /// <returns>Whether the connection lasted that long.</returns>
    public bool Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int sent = TrySend(bytes, wait: true);
            if (sent < 0)
            {
                return false;
            }

            bytes = bytes[sent..];
        }

        return true;
    }

    /// <summary>Sends once.</summary>
    /// <param name="bytes">At least one byte.</param>
    /// <param name="wait">Whether to wait for room.</param>
    /// <param name="more">Whether more follows at once, so that a part of a packet waits for it.</param>
    /// <returns>Bytes sent; 0 when there is no room now; negative when the connection is over.</returns>
    public int TrySend(ReadOnlySpan<byte> bytes, bool wait, bool more = false)
    {
        int flags = NoSignal | (wait ? 0 : DontWait) | (more ? More : 0);
        fixed (byte* start = bytes)
        {
            while (true)
            {
                nint sent = Send(_descriptor, start, (nuint)bytes.Length, flags);
                if (sent >= 0)
                {
                    return (int)sent;
                }

                switch (Marshal.GetLastPInvokeError())
                {
                    case EINTR:
                        continue;
                    case EAGAIN when !wait:
                        return 0;
                    default:
                        return -1;
                }
            }
        }
    }

    /// <summary>Ends the connection from any thread: whoever waits in a call returns.</summary>
    public void Shutdown()
    {
        try
        {
            socket.Shutdown(SocketShutdown.Both);
        }
        catch (SocketException)
        {
            // The peer was faster.
        }
        catch (ObjectDisposedException)
        {
            // So was our own thread.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private int Receive(Span<byte> buffer, int flags)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                nint received = Receive(_descriptor, start, (nuint)buffer.Length, flags);
                if (received >= 0)
                {
                    return (int)received;
                }

                switch (Marshal.GetLastPInvokeError())
                {
                    case EINTR:
                        continue;
                    case EAGAIN:
                        return -1;
                    default:
                        return 0;
                }
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint Receive(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "splice", SetLastError = true)]
    private static partial nint Splice(int from, long* fromOffset, int to, long* toOffset, nuint length, uint flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint Send(int descriptor, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(PollEntry* entries, nuint count, int timeoutMilliseconds);

    /// <summary><c>struct pollfd</c>.</summary>
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }
}
