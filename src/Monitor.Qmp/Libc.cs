using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Qmp;

/// <summary>The C library's calls that transports are made of, and the constants of their interface (Linux).</summary>
internal static partial class Libc
{
    public const int EINTR = 4;
    public const int EAGAIN = 11;

    public const int MSG_DONTWAIT = 0x40;
    public const int MSG_NOSIGNAL = 0x4000;
    public const int MSG_CMSG_CLOEXEC = 0x40000000;

    public const int O_RDONLY = 0;
    public const int O_WRONLY = 1;
    public const int O_RDWR = 2;
    public const int O_CREAT = 0x40;
    public const int O_TRUNC = 0x200;
    public const int O_APPEND = 0x400;
    public const int O_CLOEXEC = 0x80000;

    public const int EFD_CLOEXEC = 0x80000;

    public const int RLIMIT_NOFILE = 7;

    public const short POLLIN = 1;
    public const short POLLOUT = 4;

    private const string C = "libc";

    [LibraryImport(C, EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(SafeSocketHandle socket, ref readonly byte bytes, nint length, int flags);

    [LibraryImport(C, EntryPoint = "recvmsg", SetLastError = true)]
    public static unsafe partial nint ReceiveMessage(SafeSocketHandle socket, MessageHeader* message, int flags);

    [LibraryImport(C, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, uint mode);

    [LibraryImport(C, EntryPoint = "read", SetLastError = true)]
    public static partial nint Read(SafeFileHandle file, ref byte buffer, nint length);

    [LibraryImport(C, EntryPoint = "write", SetLastError = true)]
    public static partial nint Write(SafeFileHandle file, ref readonly byte bytes, nint length);

    [LibraryImport(C, EntryPoint = "isatty")]
    public static partial int IsTerminal(SafeFileHandle file);

    [LibraryImport(C, EntryPoint = "eventfd", SetLastError = true)]
    public static partial int Eventfd(uint count, int flags);

    [LibraryImport(C, EntryPoint = "poll", SetLastError = true)]
    public static partial int Poll(ref PollDescriptor first, nuint count, int timeoutMilliseconds);

    [LibraryImport(C, EntryPoint = "getrlimit", SetLastError = true)]
    public static partial int GetLimit(int resource, out Limit limit);

    /// <summary>A limit of the process (<c>struct rlimit</c>).</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Limit
    {
        public ulong Current;
        public ulong Maximum;
    }

    /// <summary>One piece of memory of a message (<c>struct iovec</c>).</summary>
    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>A message with what comes beside its bytes (<c>struct msghdr</c>, 64 bits).</summary>
    [StructLayout(LayoutKind.Sequential)]
    public unsafe struct MessageHeader
    {
        public byte* Name;
        public uint NameLength;
        public IoVector* Pieces;
        public nuint PieceCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }

    /// <summary>One descriptor to wait for (<c>struct pollfd</c>); a negative one is skipped.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct PollDescriptor
    {
        public int Descriptor;
        public short Wanted;
        public short Found;
    }
}
