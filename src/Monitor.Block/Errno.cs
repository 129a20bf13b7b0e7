using System.Runtime.InteropServices;

namespace Monitor.Block;

/// <summary>The Linux error numbers that the block layer gives out or reacts to (errno(3), asm-generic values).</summary>
public static class Errno
{
#pragma warning disable CS1591 // the names are the system's own
    public const int EPERM = 1;
    public const int ENOENT = 2;
    public const int EINTR = 4;
    public const int EIO = 5;
    public const int ENXIO = 6;
    public const int EBADF = 9;
    public const int EAGAIN = 11;
    public const int ENOMEM = 12;
    public const int EACCES = 13;
    public const int EBUSY = 16;
    public const int ENODEV = 19;
    public const int EINVAL = 22;
    public const int EFBIG = 27;
    public const int ENOSPC = 28;
    public const int EROFS = 30;
    public const int ENOSYS = 38;
    public const int ENOMEDIUM = 123;
    public const int EOPNOTSUPP = 95;
    public const int ENOTSUP = EOPNOTSUPP;
    public const int ETIMEDOUT = 110;
    public const int ECANCELED = 125;
#pragma warning restore CS1591

    /// <summary>The C library's text, as <c>strerror(3)</c> gives it, such as <c>No such file or directory</c>.</summary>
    /// <param name="errno">A positive errno.</param>
    public static string Describe(int errno) => Marshal.GetPInvokeErrorMessage(errno);
}
