using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Monitor.Qapi;

/// <summary>The C library's calls on descriptors that clients hand over (fcntl(2), Linux).</summary>
internal static partial class DescriptorCalls
{
    public const int EACCES = 13;
    public const int ENOENT = 2;
    public const int EINVAL = 22;

    public const int O_ACCMODE = 3;
    public const int O_TRUNC = 0x200;

    private const int CloseOnExec = 1;

    private const int F_GETFD = 1;
    private const int F_GETFL = 3;
    private const int F_SETFL = 4;
    private const int F_DUPFD_CLOEXEC = 1030;

    private const string C = "libc";

    /// <summary>O_APPEND, O_NONBLOCK, O_ASYNC, O_NOATIME and O_DIRECT: what can be changed on an open file.</summary>
    private static int ChangeableFlags => 0x400 | 0x800 | 0x2000 | 0x40000 | (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000);

    /// <summary>Whether a number is an open descriptor that this process has inherited: its own are all closed on exec.</summary>
    public static bool IsInherited(int descriptor) => Fcntl(descriptor, F_GETFD, 0) is >= 0 and var flags && (flags & CloseOnExec) == 0;

    /// <summary>The flags that a descriptor was opened with.</summary>
    public static int GetFlags(SafeFileHandle handle) => Fcntl(handle, F_GETFL, 0);

    /// <summary>A second descriptor of the same open file.</summary>
    /// <returns>-1 when it cannot be made.</returns>
    public static int Duplicate(int descriptor) => Fcntl(descriptor, F_DUPFD_CLOEXEC, 0);

    /// <summary>A second descriptor of the same open file, which then has the flags asked for.</summary>
    /// <returns>-1 when it cannot be made.</returns>
    public static int Duplicate(SafeFileHandle handle, int flags)
    {
        int wanted = (GetFlags(handle) & ~ChangeableFlags) | (flags & ChangeableFlags);
        int duplicate = Fcntl(handle, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0 || (Fcntl(duplicate, F_SETFL, wanted) == 0 && ((flags & O_TRUNC) == 0 || Truncate(duplicate, 0) == 0)))
        {
            return duplicate;
        }

        int error = Marshal.GetLastPInvokeError();
        _ = Close(duplicate);
        Marshal.SetLastPInvokeError(error);
        return -1;
    }

    [LibraryImport(C, EntryPoint = "close", SetLastError = true)]
    public static partial int Close(int descriptor);

    [LibraryImport(C, EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(SafeFileHandle handle, int command, int argument);

    [LibraryImport(C, EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Fcntl(int descriptor, int command, int argument);

    [LibraryImport(C, EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int Truncate(int descriptor, long length);
}
