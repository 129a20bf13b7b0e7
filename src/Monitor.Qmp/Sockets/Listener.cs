using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Gate = System.Threading.Monitor;

namespace Monitor.Qmp;

/// <summary>A listening socket on which one thread waits for clients, until any other closes it.</summary>
/// <remarks>Closing a socket does not wake who waits in accept(2); shutdown(2) does, but also for those who share the socket, and one that
/// we inherited may outlive us. So the thread waits in poll(2), beside a descriptor that the end makes readable.</remarks>
/// <param name="socket">Listens, in blocking mode; owned from now on.</param>
public sealed class Listener(Socket socket) : IDisposable
{
    /// <summary>Who shares the socket may take the client that woke us: then accept(2) waits for the next, and is left to.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);

    private readonly SafeFileHandle _wake = new(Libc.Eventfd(0, Libc.EFD_CLOEXEC), ownsHandle: true);

    private readonly object _gate = new();

    private bool _isWaiting;

    private bool _isClosed;

    /// <summary>Where it listens.</summary>
    public EndPoint? LocalEndPoint { get; } = socket.LocalEndPoint;

    /// <summary>Waits for a client.</summary>
    /// <returns>As <see cref="ListeningSockets.Accept"/>.</returns>
    /// <exception cref="SocketException">None can be accepted now.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public Socket? Accept()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            _isWaiting = true;
        }

        try
        {
            ObjectDisposedException.ThrowIf(!WaitForClient(), this);
            return ListeningSockets.Accept(socket);
        }
        finally
        {
            lock (_gate)
            {
                _isWaiting = false;
                Gate.Pulse(_gate);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            ulong one = 1;
            Libc.Write(_wake, in MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in one))[0], sizeof(ulong));
            if (_isWaiting && !Gate.Wait(_gate, s_patience))
            {
                return;
            }
        }

        socket.Dispose();
        _wake.Dispose();
    }

    private bool WaitForClient()
    {
        Span<Libc.PollDescriptor> set =
        [
            new() { Descriptor = (int)_wake.DangerousGetHandle(), Wanted = Libc.POLLIN },
            new() { Descriptor = (int)socket.Handle, Wanted = Libc.POLLIN },
        ];
        while (Libc.Poll(ref set[0], (nuint)set.Length, Timeout.Infinite) <= 0)
        {
            set[0].Found = 0;
        }

        return set[0].Found == 0;
    }
}
