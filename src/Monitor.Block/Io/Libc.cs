using System.Runtime.InteropServices;

namespace Monitor.Block.Io;

/// <summary>The C library's calls that <see cref="PosixFile"/> is made of, and the constants of their interface (Linux, 64 bits).</summary>
internal static unsafe partial class Libc
{
    public const int O_RDONLY = 0;
    public const int O_RDWR = 2;
    public const int O_CREAT = 0x40;
    public const int O_TRUNC = 0x200;
    public const int O_CLOEXEC = 0x80000;

    public const int RWF_NOWAIT = 8;

    public const int FALLOC_FL_KEEP_SIZE = 1;
    public const int FALLOC_FL_PUNCH_HOLE = 2;
    public const int FALLOC_FL_ZERO_RANGE = 16;

    public const int SEEK_END = 2;
    public const int SEEK_DATA = 3;
    public const int SEEK_HOLE = 4;

    public const int F_OFD_GETLK = 36;
    public const int F_OFD_SETLK = 37;
    public const int F_DUPFD_CLOEXEC = 1030;
    public const short F_RDLCK = 0;
    public const short F_WRLCK = 1;
    public const short F_UNLCK = 2;

    public const int AT_EMPTY_PATH = 0x1000;
    public const int AT_FDCWD = -100;
    public const uint STATX_BASIC_STATS = 0x7ff;

    public const ulong FS_IOC_GETFLAGS = 0x80086601;
    public const ulong FS_IOC_SETFLAGS = 0x40086602;
    public const int FS_NOCOW_FL = 0x00800000;

    private const string C = "libc";

    /// <summary>The one open flag whose value differs between processors.</summary>
    public static int O_DIRECT => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000;

    [LibraryImport(C, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, uint mode);

    [LibraryImport(C, EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int fd);

    [LibraryImport(C, EntryPoint = "dup3", SetLastError = true)]
    public static partial int Dup3(int oldFd, int newFd, int flags);

    [LibraryImport(C, EntryPoint = "pread", SetLastError = true)]
    public static partial nint Pread(int fd, byte* buffer, nuint length, long offset);

    [LibraryImport(C, EntryPoint = "preadv2", SetLastError = true)]
    public static partial nint Preadv2(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport(C, EntryPoint = "pwrite", SetLastError = true)]
    public static partial nint Pwrite(int fd, byte* buffer, nuint length, long offset);

    [LibraryImport(C, EntryPoint = "copy_file_range", SetLastError = true)]
    public static partial nint CopyFileRange(int source, long* sourceOffset, int target, long* targetOffset, nuint length, uint flags);

    [LibraryImport(C, EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int Fdatasync(int fd);

    [LibraryImport(C, EntryPoint = "fallocate", SetLastError = true)]
    public static partial int Fallocate(int fd, int mode, long offset, long length);

    [LibraryImport(C, EntryPoint = "ftruncate", SetLastError = true)]
    public static partial int Ftruncate(int fd, long length);

    [LibraryImport(C, EntryPoint = "lseek", SetLastError = true)]
    public static partial long Lseek(int fd, long offset, int whence);

    [LibraryImport(C, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Statx(int directory, string path, int flags, uint mask, StatxBuffer* result);

    [LibraryImport(C, EntryPoint = "fcntl", SetLastError = true)]
    public static partial int FcntlLock(int fd, int command, RecordLock* argument);

    [LibraryImport(C, EntryPoint = "fcntl", SetLastError = true)]
    public static partial int FcntlInt(int fd, int command, int argument);

    [LibraryImport(C, EntryPoint = "ioctl", SetLastError = true)]
    public static partial int IoctlInt(int fd, ulong request, int* argument);

    /// <summary>One piece of memory of a vectored transfer (<c>struct iovec</c>).</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct IoVector
    {
        public byte* Base;
        public nuint Length;
    }

    /// <summary>An advisory record lock (<c>struct flock</c>).</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct RecordLock
    {
        public short Type;
        public short Whence;
        public long Start;
        public long Length;
        public int Pid;
    }

    /// <summary>The members of <c>struct statx</c> that are read here; its layout is the same on every processor.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    public struct StatxBuffer
    {
        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(32)]
        public ulong Inode;

        [FieldOffset(40)]
        public long Size;

        [FieldOffset(48)]
        public long Blocks;

        [FieldOffset(136)]
        public uint DeviceMajor;

        [FieldOffset(140)]
        public uint DeviceMinor;
    }
}
