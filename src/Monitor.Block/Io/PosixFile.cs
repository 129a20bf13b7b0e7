using System.Runtime.InteropServices;
using Monitor.Qapi;

namespace Monitor.Block.Io;

/// <summary>An open file by its descriptor: plain system calls that retry when interrupted, finish short transfers and throw errno.</summary>
/// <remarks>
/// Every method may block for as long as the medium likes; who must not wait calls them on <see cref="BlockThreads"/>. The descriptor
/// number is counted by nobody, so the owner closes the file only when no call is under way (the node is drained). Offsets and
/// lengths are bytes. Unlike .NET's own files there is no share lock, no <c>SafeHandle</c> and no allocation per call.
/// </remarks>
public sealed unsafe class PosixFile
{
    private const ushort TypeMask = 0xf000;
    private const ushort RegularType = 0x8000;
    private const ushort BlockType = 0x6000;
    private const ushort CharacterType = 0x2000;

    private readonly int _fd;
    private readonly string? _setName;
    private bool _closed;

    private PosixFile(int fd, string? setName = null)
    {
        _fd = fd;
        _setName = setName;
    }

    /// <summary>The descriptor's number; the same as long as this object lives.</summary>
    public int Descriptor => _fd;

    /// <summary>Opens a file with open(2), close-on-exec.</summary>
    /// <param name="path">Relative to the working directory, or absolute, or the name of a descriptor set.</param>
    /// <param name="mode">What for.</param>
    /// <exception cref="BlockIoException">The system refuses.</exception>
    /// <exception cref="QmpException">The descriptor set has none that fits.</exception>
    public static PosixFile Open(string path, FileOpenMode mode)
    {
        int flags = ((mode & FileOpenMode.Write) != 0 ? Libc.O_RDWR : Libc.O_RDONLY)
            | ((mode & FileOpenMode.Direct) != 0 ? Libc.O_DIRECT : 0)
            | ((mode & FileOpenMode.Create) != 0 ? Libc.O_CREAT : 0);
        if (DescriptorSets.IsName(path))
        {
            return new(DescriptorSets.Open(path, flags), path);
        }

        int fd;
        do
        {
            fd = Libc.Open(path, flags | Libc.O_CLOEXEC, 0x1a4);
        }
        while (fd < 0 && Interrupted());
        return new PosixFile(Checked(fd));
    }

    /// <summary>A second descriptor of the same open file: locks belong to both together.</summary>
    /// <exception cref="BlockIoException">No descriptor is free.</exception>
    public PosixFile Duplicate() => new(Checked(Libc.FcntlInt(_fd, Libc.F_DUPFD_CLOEXEC, 0)));

    /// <summary>Opens the same file once more, by identity and not by name, so that a rename meanwhile does not matter.</summary>
    /// <exception cref="BlockIoException">The system refuses.</exception>
    /// <exception cref="QmpException">It came from a descriptor set, which has none that fits.</exception>
    public PosixFile OpenAgain(FileOpenMode mode) => Open(_setName ?? $"/proc/self/fd/{_fd}", mode);

    /// <summary>Makes this descriptor stand for the file that <paramref name="other"/> has open, and closes <paramref name="other"/>.</summary>
    /// <remarks>The kernel swaps both in one step, so calls under way on this descriptor finish on what they began with.</remarks>
    /// <exception cref="BlockIoException">The system refuses.</exception>
    public void TakeOver(PosixFile other)
    {
        Checked(Libc.Dup3(other._fd, _fd, Libc.O_CLOEXEC));
        other.Close();
    }

    /// <summary>Reads until the buffer is full or the file ends.</summary>
    /// <returns>Bytes read; less than the buffer only at the end of the file.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public int Read(Span<byte> buffer, long offset)
    {
        fixed (byte* start = buffer)
        {
            int done = 0;
            while (done < buffer.Length)
            {
                nint got = Libc.Pread(_fd, start + done, (nuint)(buffer.Length - done), offset + done);
                if (got > 0)
                {
                    done += (int)got;
                }
                else if (got == 0)
                {
                    break;
                }
                else if (!Interrupted())
                {
                    throw LastError();
                }
            }

            return done;
        }
    }

    /// <summary>Reads what is there without waiting for the medium (<c>RWF_NOWAIT</c>).</summary>
    /// <param name="buffer">Filled from its start as far as the page cache reaches.</param>
    /// <param name="offset">Where in the file.</param>
    /// <param name="read">Bytes read; may be none.</param>
    /// <returns>Whether the filesystem knows the flag; when not, nothing was read.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public bool TryReadCached(Span<byte> buffer, long offset, out int read)
    {
        fixed (byte* start = buffer)
        {
            Libc.IoVector vector = new() { Base = start, Length = (nuint)buffer.Length };
            nint got = Libc.Preadv2(_fd, &vector, 1, offset, Libc.RWF_NOWAIT);
            read = got > 0 ? (int)got : 0;
            if (got >= 0)
            {
                return true;
            }
        }

        return Marshal.GetLastPInvokeError() switch
        {
            Errno.EAGAIN or Errno.EINTR => true,
            Errno.EOPNOTSUPP or Errno.ENOSYS or Errno.EINVAL => false,
            _ => throw LastError(),
        };
    }

    /// <summary>Writes the whole buffer; past the end the file grows.</summary>
    /// <exception cref="BlockIoException">The medium failed; some of the bytes may have been written.</exception>
    public void Write(ReadOnlySpan<byte> buffer, long offset)
    {
        fixed (byte* start = buffer)
        {
            int done = 0;
            while (done < buffer.Length)
            {
                nint put = Libc.Pwrite(_fd, start + done, (nuint)(buffer.Length - done), offset + done);
                if (put > 0)
                {
                    done += (int)put;
                }
                else if (put == 0)
                {
                    throw new BlockIoException(Errno.ENOSPC);
                }
                else if (!Interrupted())
                {
                    throw LastError();
                }
            }
        }
    }

    /// <summary>Has the kernel copy bytes of another file into this one (<c>copy_file_range</c>); it may let both share them.</summary>
    /// <returns>Whether all was copied; if not, the kernel cannot between these files, the medium failed, or the source ends before.</returns>
    public bool TryCopyFrom(PosixFile source, long sourceOffset, long offset, long length)
    {
        for (long end = offset + length; offset < end;)
        {
            nint copied = Libc.CopyFileRange(source._fd, &sourceOffset, _fd, &offset, (nuint)(end - offset), 0);
            if (copied == 0 || (copied < 0 && !Interrupted()))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Waits until the file's data is durable (fdatasync).</summary>
    /// <exception cref="BlockIoException">It is not, and the kernel may have forgotten what it could not write.</exception>
    public void SyncData() => Retried(fd => Libc.Fdatasync(fd));

    /// <summary>Gives the range's space back; it reads as zeroes. The length of the file stays.</summary>
    /// <returns>Whether the filesystem can.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public bool TryPunchHole(long offset, long length) =>
        TryAllocate(Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, offset, length);

    /// <summary>Makes the range read as zeroes and keeps space for it; the file may grow.</summary>
    /// <returns>Whether the filesystem can.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public bool TryZeroRange(long offset, long length) => TryAllocate(Libc.FALLOC_FL_ZERO_RANGE, offset, length);

    /// <summary>Keeps space for the range without touching what is in it; the file may grow.</summary>
    /// <returns>Whether the filesystem can.</returns>
    /// <exception cref="BlockIoException">The medium failed (ENOSPC).</exception>
    public bool TryReserve(long offset, long length) => TryAllocate(0, offset, length);

    /// <summary>Cuts the file, or lengthens it with a hole.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public void SetLength(long length) => Retried(fd => Libc.Ftruncate(fd, length));

    /// <summary>Size, identity and type.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public FileStatus Status()
    {
        Libc.StatxBuffer s = default;
        Checked(Libc.Statx(_fd, "", Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &s));
        var identity = new FileIdentity(((ulong)s.DeviceMajor << 32) | s.DeviceMinor, s.Inode);
        return new FileStatus(identity, s.Size, s.Blocks * 512, (s.Mode & TypeMask) == RegularType, (s.Mode & TypeMask) is BlockType or CharacterType);
    }

    /// <summary>Whether a path leads to a block or character device; nothing is opened.</summary>
    public static bool IsDevice(string path)
    {
        Libc.StatxBuffer s = default;
        return Libc.Statx(Libc.AT_FDCWD, path, 0, Libc.STATX_BASIC_STATS, &s) == 0 && (s.Mode & TypeMask) is BlockType or CharacterType;
    }

    /// <summary>Where the file ends; for a block device its size.</summary>
    /// <exception cref="BlockIoException">It has no end, as a pipe, or the medium failed.</exception>
    public long SeekEnd() => Seek(0, Libc.SEEK_END);

    /// <summary>Where the first data at or after a position begins.</summary>
    /// <returns>The position; <see cref="long.MaxValue"/> when there is only a hole up to the end.</returns>
    /// <exception cref="BlockIoException">The filesystem cannot tell (EINVAL), or the medium failed.</exception>
    public long SeekData(long offset) => Seek(offset, Libc.SEEK_DATA);

    /// <summary>Where the first hole at or after a position begins; the end of the file counts as one.</summary>
    /// <returns>The position; <see cref="long.MaxValue"/> when <paramref name="offset"/> is past the end.</returns>
    /// <exception cref="BlockIoException">The filesystem cannot tell (EINVAL), or the medium failed.</exception>
    public long SeekHole(long offset) => Seek(offset, Libc.SEEK_HOLE);

    /// <summary>Takes a shared lock of the open file (F_OFD_SETLK) on one byte, without waiting.</summary>
    /// <exception cref="BlockIoException">Somebody holds it exclusively (EAGAIN), or the filesystem knows no locks.</exception>
    public void LockShared(long position) => SetLock(Libc.F_RDLCK, position);

    /// <summary>Gives the lock on one byte back.</summary>
    /// <exception cref="BlockIoException">The filesystem knows no locks.</exception>
    public void Unlock(long position) => SetLock(Libc.F_UNLCK, position);

    /// <summary>Whether another open file has a lock on one byte.</summary>
    /// <exception cref="BlockIoException">The filesystem knows no locks.</exception>
    public bool IsLockedByOther(long position)
    {
        Libc.RecordLock probe = new() { Type = Libc.F_WRLCK, Start = position, Length = 1 };
        Checked(Libc.FcntlLock(_fd, Libc.F_OFD_GETLK, &probe));
        return probe.Type != Libc.F_UNLCK;
    }

    /// <summary>Asks the filesystem not to copy this (still empty) file's blocks on write; best effort.</summary>
    public void DisableCopyOnWrite()
    {
        int flags;
        if (Libc.IoctlInt(_fd, Libc.FS_IOC_GETFLAGS, &flags) == 0)
        {
            flags |= Libc.FS_NOCOW_FL;
            _ = Libc.IoctlInt(_fd, Libc.FS_IOC_SETFLAGS, &flags);
        }
    }

    /// <summary>Closes the descriptor; no call is under way. Closing twice does nothing.</summary>
    public void Close()
    {
        if (!_closed)
        {
            _closed = true;
            if (_setName is not null)
            {
                DescriptorSets.Release(_fd);
            }

            _ = Libc.Close(_fd);
        }
    }

    private static bool Interrupted() => Marshal.GetLastPInvokeError() == Errno.EINTR;

    private static BlockIoException LastError() => new(Marshal.GetLastPInvokeError());

    private static int Checked(int result) => result >= 0 ? result : throw LastError();

    private void Retried(Func<int, int> call)
    {
        while (call(_fd) < 0)
        {
            if (!Interrupted())
            {
                throw LastError();
            }
        }
    }

    private bool TryAllocate(int mode, long offset, long length)
    {
        while (Libc.Fallocate(_fd, mode, offset, length) < 0)
        {
            switch (Marshal.GetLastPInvokeError())
            {
                case Errno.EINTR:
                    break;
                case Errno.EOPNOTSUPP or Errno.ENOSYS or Errno.EINVAL or Errno.ENODEV:
                    return false;
                default:
                    throw LastError();
            }
        }

        return true;
    }

    private long Seek(long offset, int whence)
    {
        long position = Libc.Lseek(_fd, offset, whence);
        if (position >= 0)
        {
            return position;
        }

        return Marshal.GetLastPInvokeError() == Errno.ENXIO ? long.MaxValue : throw LastError();
    }

    private void SetLock(short type, long position)
    {
        Libc.RecordLock record = new() { Type = type, Start = position, Length = 1 };
        Checked(Libc.FcntlLock(_fd, Libc.F_OFD_SETLK, &record));
    }
}
