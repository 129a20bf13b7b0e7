using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Nbd;

/// <summary>What a client sent while its last request is worked on, taken off the socket without copying it.</summary>
/// <remarks>
/// <para>The idea: a Unix socket holds some 200 KiB of what the client sends, and a client that filled it sleeps until three quarters are
/// taken. A server that receives 256 KiB and then writes them finds the client asleep when it comes back, and waits until it woke (25 µs
/// and more where processors halt). So before it writes it moves what has come meanwhile into a pipe: splice(2) only takes over the
/// pages, some 10 µs for all of it. The client goes on while the server writes; the next payload is read from the pipe first.</para>
/// <para>Cost: a pipe for each connection that writes long payloads, made at the first of them; without one everything works, only
/// slower.</para>
/// </remarks>
public sealed unsafe partial class NbdReadAhead : IDisposable
{
    /// <summary>A little more than what a socket holds.</summary>
    private const int CapacityBytes = 256 << 10;

    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int SetPipeSize = 1031;

    private readonly SafeFileHandle _readEnd;
    private readonly SafeFileHandle _writeEnd;

    private NbdReadAhead(int readEnd, int writeEnd)
    {
        _readEnd = new SafeFileHandle(readEnd, ownsHandle: true);
        _writeEnd = new SafeFileHandle(writeEnd, ownsHandle: true);
        _ = ChangeDescriptor(writeEnd, SetPipeSize, CapacityBytes);
    }

    /// <summary>Bytes taken that nobody read yet.</summary>
    public int Count { get; private set; }

    /// <summary>Makes an empty one.</summary>
    /// <returns><see langword="null"/> when the system has no descriptors for it.</returns>
    public static NbdReadAhead? TryCreate()
    {
        int* ends = stackalloc int[2];
        return MakePipe(ends, CloseOnExec | NonBlocking) == 0 ? new NbdReadAhead(ends[0], ends[1]) : null;
    }

    /// <summary>Takes what is there, without waiting; whatever is wrong with the connection shows when it is received from.</summary>
    public void Take(NbdSocket socket) => Count += socket.TryMove((int)_writeEnd.DangerousGetHandle(), CapacityBytes);

    /// <summary>Reads what was taken.</summary>
    /// <returns>Bytes read: all there are, as far as there is room.</returns>
    /// <remarks>A pipe whose bytes are counted neither waits nor fails.</remarks>
    public int Read(Span<byte> destination)
    {
        fixed (byte* start = destination)
        {
            int read = (int)Math.Max(0, Read((int)_readEnd.DangerousGetHandle(), start, (nuint)Math.Min(destination.Length, Count)));
            Count -= read;
            return read;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _readEnd.Dispose();
        _writeEnd.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static partial int MakePipe(int* ends, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int ChangeDescriptor(int descriptor, int command, nint value);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(int descriptor, byte* buffer, nuint length);
}
