using Monitor.Block.Io;
using Monitor.Qapi;
using Monitor.Qapi.Json;

namespace Monitor.Block.Drivers.File;

/// <summary>A regular file of the host (driver <c>file</c>), the bottom of most chains, or one of its devices (<c>host_device</c>).</summary>
/// <remarks>
/// The page cache makes most transfers a memory copy, so they are done at once, on the caller's thread and without allocation. What may
/// wait for a disk goes to <see cref="BlockThreads"/>: reads that the cache does not hold (asked with RWF_NOWAIT where the filesystem
/// knows it; tmpfs does not, and never waits), fdatasync, fallocate, SEEK_DATA and everything with <c>cache.direct</c>. Reads past the
/// end give zeroes; writes past it make the file, and this node, longer.
/// <para>A failed fdatasync is remembered for good: the kernel has dropped what it could not write, so a later one that
/// succeeds would lie about it.</para>
/// </remarks>
public sealed class FileNode : BlockNode
{
    private readonly bool _locking;
    private PosixFile _file = null!;
    private ImageLock? _lock;
    private DirectTransfer? _direct;
    private FileExtents _extents = null!;
    private PosixFile? _reopened;
    private (BlockPermission Used, BlockPermission Unshared) _granted;
    private FileOpenMode _mode;
    private FileOpenMode _reopenedMode;
    private bool _readsCached = true;
    private bool _unsynced;
    private int _syncsUnderWay;
    private int _syncErrno;

    /// <summary>Makes the node of a file that is not open yet.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="fileName">The file's path.</param>
    /// <param name="locking">Whether other processes are kept out by image locks.</param>
    /// <param name="isDevice">Whether it is a block or character device; else it must be a regular file.</param>
    public FileNode(BlockNodeSettings settings, string fileName, bool locking = true, bool isDevice = false)
        : base(settings)
    {
        FileName = fileName;
        _locking = locking;
        IsDevice = isDevice;
    }

    /// <inheritdoc/>
    public override string DriverName => IsDevice ? "host_device" : "file";

    /// <inheritdoc/>
    public override string FileName { get; }

    /// <inheritdoc/>
    public override string OptionsJson => $"{{\"driver\": \"{DriverName}\", \"filename\": {JsonString.Quote(FileName)}}}";

    /// <inheritdoc/>
    public override int RequestAlignment => _direct?.Alignment ?? 1;

    /// <summary>Whether it is a device (<c>host_device</c>).</summary>
    public bool IsDevice { get; }

    /// <summary>Which file it is; two nodes with the same one share their bytes. Known once open.</summary>
    public FileIdentity Identity { get; private set; }

    /// <summary>Bytes of the medium that the file takes up now.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public long AllocatedBytes => _file.Status().AllocatedBytes;

    /// <summary>What became of the discards that came here.</summary>
    public DiscardStatistics Discards { get; } = new();

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        _mode = Mode(!Settings.ReadOnly && !Settings.AutoReadOnly);
        try
        {
            var file = PosixFile.Open(FileName, _mode);
            try
            {
                Adopt(file);
            }
            catch
            {
                file.Close();
                throw;
            }
        }
        catch (BlockIoException e)
        {
            throw new QmpException($"Could not open '{FileName}': {Describe(e)}");
        }

        return default;
    }

    /// <inheritdoc/>
    public override ValueTask CloseAsync()
    {
        try
        {
            Sync();
        }
        catch (BlockIoException e)
        {
            DaemonLog.Error("Block", $"node {NodeName}: data of {FileName} is not durable: {e.Message}");
        }

        _reopened?.Close();
        _lock?.Close();
        _file.Close();
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask<BlockMapping> MapAsync(long offset, long length) => _extents.MapAsync(offset, length);

    /// <inheritdoc/>
    public override ValueTask<int> DescribeAsync(long offset, long length, Memory<BlockStatus> runs) =>
        _extents.DescribeAsync(offset, length, runs);

    /// <inheritdoc/>
    public override FileRange? FindFile(long offset, long length) => _direct is null ? new FileRange(this, offset, length) : null;

    /// <inheritdoc/>
    public override async ValueTask PreallocateAsync(long offset, long length, PreallocMode mode)
    {
        bool reserves = mode == PreallocMode.Falloc;
        try
        {
            if (reserves)
            {
                await BlockThreads.RunAsync(() => Reserve(offset, length)).ConfigureAwait(false);
            }
            else
            {
                await base.PreallocateAsync(offset, length, mode).ConfigureAwait(false);
            }
        }
        catch (BlockIoException e)
        {
            throw new BlockIoException(e.Errno, $"{(reserves ? FileImage.NotReserved : FileImage.NotWritten)}: {Errno.Describe(e.Errno)}");
        }
    }

    /// <inheritdoc/>
    protected internal override void CheckPermissions(BlockPermission used, BlockPermission shared)
    {
        base.CheckPermissions(used, shared);
        BlockPermission unshared = Settings.ForceShare ? BlockPermission.None : BlockPermission.All & ~shared;
        _lock?.Prepare(used, unshared);
        bool writable = !Settings.ReadOnly && (!Settings.AutoReadOnly || (used & ~BlockPermission.ConsistentRead) != 0);
        _reopenedMode = Mode(writable);
        if (_reopenedMode == _mode)
        {
            return;
        }

        try
        {
            _reopened = _file.OpenAgain(_reopenedMode);
        }
        catch (Exception e) when (e is BlockIoException or QmpException)
        {
            _lock?.Settle(_granted.Used, _granted.Unshared);
            throw e is BlockIoException refusal ? new QmpException($"Could not reopen file: {Describe(refusal)}") : e;
        }
    }

    /// <inheritdoc/>
    protected internal override void SetPermissions(BlockPermission used, BlockPermission shared)
    {
        _granted = (used, Settings.ForceShare ? BlockPermission.None : BlockPermission.All & ~shared);
        _lock?.Settle(_granted.Used, _granted.Unshared);
        if (_reopened is { } reopened)
        {
            _file.TakeOver(reopened);
            _reopened = null;
            _mode = _reopenedMode;
            _readsCached = true;
            _direct = (_mode & FileOpenMode.Direct) != 0 ? new DirectTransfer(_file) : null;
        }
    }

    /// <inheritdoc/>
    protected internal override void AbortPermissions()
    {
        _lock?.Settle(_granted.Used, _granted.Unshared);
        _reopened?.Close();
        _reopened = null;
    }

    /// <inheritdoc/>
    protected internal override ValueTask EnterActiveAsync()
    {
        _extents.Forget();
        SetSize(SizeOf(_file));
        return base.EnterActiveAsync();
    }

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        if (_direct is not null)
        {
            return ReadDirectAsync(offset, buffer);
        }

        int read = 0;
        if (_readsCached)
        {
            if (!_file.TryReadCached(buffer.Span, offset, out read))
            {
                _readsCached = false;
            }
            else if (read == buffer.Length)
            {
                return default;
            }
            else if (offset + read < SizeBytes)
            {
                return ReadColdAsync(offset + read, buffer[read..]);
            }
        }

        ReadToEnd(offset + read, buffer.Span[read..]);
        return default;
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        if (_direct is not null)
        {
            return WriteDirectAsync(offset, buffer, flags);
        }

        try
        {
            _file.Write(buffer.Span, offset);
        }
        finally
        {
            NoteChange();
        }

        GrowSize(offset + buffer.Length);
        return (flags & BlockWriteFlags.Fua) == 0 ? default : DoFlushAsync();
    }

    /// <inheritdoc/>
    protected override ValueTask<bool> DoCopyFromAsync(long offset, FileRange source) =>
        new(_direct is null ? BlockThreads.RunAsync(() => CopyFrom(offset, source)) : Task.FromResult(false));

    /// <inheritdoc/>
    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) =>
        new(BlockThreads.RunAsync(() => WriteZeroes(offset, length, flags)));

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) => new(BlockThreads.RunAsync(() => Discard(offset, length)));

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync()
    {
        if (Settings.CacheNoFlush || (!Volatile.Read(ref _unsynced) && Volatile.Read(ref _syncsUnderWay) == 0 && _syncErrno == 0))
        {
            return default;
        }

        return new ValueTask(BlockThreads.RunAsync(Sync));
    }

    /// <inheritdoc/>
    protected override ValueTask DoTruncateAsync(long sizeBytes) => IsDevice ? CheckDeviceSize(sizeBytes) : new(BlockThreads.RunAsync(() =>
    {
        _file.SetLength(sizeBytes);
        _extents.Forget();
        NoteChange();
    }));

    private ValueTask CheckDeviceSize(long sizeBytes) =>
        sizeBytes <= SizeBytes ? default : throw new BlockIoException(Errno.EINVAL, "Cannot grow device files");

    private static string Describe(BlockIoException e) => Errno.Describe(e.Errno == Errno.EROFS ? Errno.EACCES : e.Errno);

    private FileOpenMode Mode(bool writable) =>
        (writable ? FileOpenMode.Write : FileOpenMode.Read) | (Settings.CacheDirect ? FileOpenMode.Direct : FileOpenMode.Read);

    private void ReadToEnd(long offset, Span<byte> buffer) => buffer[_file.Read(buffer, offset)..].Clear();

    private void Adopt(PosixFile file)
    {
        FileStatus status = file.Status();
        if (!(IsDevice ? status.IsDevice : status.IsRegular))
        {
            string kind = IsDevice ? "either a character or block device" : "a regular file";
            throw new QmpException($"'{DriverName}' driver requires '{FileName}' to be {kind}");
        }

        Identity = status.Identity;
        SetSize(SizeOf(file));
        _direct = Settings.CacheDirect ? new DirectTransfer(file) : null;
        _lock = _locking ? new ImageLock(file.Duplicate(), FileName) : null;
        _extents = new FileExtents(file);
        _file = file;
    }

    private long SizeOf(PosixFile file) => IsDevice ? file.SeekEnd() : file.Status().SizeBytes;

    // Each in a method of its own: a lambda's captures are allocated where its method begins, also when it never runs.
    private ValueTask ReadColdAsync(long offset, Memory<byte> buffer) => new(BlockThreads.RunAsync(() => ReadToEnd(offset, buffer.Span)));

    private ValueTask ReadDirectAsync(long offset, Memory<byte> buffer) =>
        new(BlockThreads.RunAsync(() => _direct!.Read(offset, buffer.Span)));

    private ValueTask WriteDirectAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) => new(BlockThreads.RunAsync(() =>
    {
        try
        {
            _direct!.Write(offset, buffer.Span);
        }
        finally
        {
            NoteChange();
        }

        GrowSize(offset + buffer.Length);
        SyncIf(flags);
    }));

    private bool CopyFrom(long offset, FileRange source)
    {
        try
        {
            return _file.TryCopyFrom(source.File._file, source.Offset, offset, source.Length);
        }
        finally
        {
            NoteChange();
        }
    }

    private void Discard(long offset, long length)
    {
        bool succeeded = false;
        try
        {
            succeeded = _extents.TryPunchHole(offset, length);
        }
        finally
        {
            Discards.Count(length, succeeded);
            NoteChange();
        }
    }

    private void Reserve(long offset, long length)
    {
        if (!_file.TryReserve(offset, length))
        {
            throw new BlockIoException(Errno.EOPNOTSUPP);
        }

        GrowSize(offset + length);
    }

    private void WriteZeroes(long offset, long length, BlockWriteFlags flags)
    {
        try
        {
            if (!_extents.TryZero(offset, length, (flags & BlockWriteFlags.MayUnmap) != 0, SizeBytes))
            {
                if ((flags & BlockWriteFlags.NoFallback) != 0)
                {
                    throw new BlockIoException(Errno.ENOTSUP);
                }

                WriteZeroBytes(offset, length);
            }
        }
        finally
        {
            NoteChange();
        }

        GrowSize(offset + length);
        SyncIf(flags);
    }

    private void WriteZeroBytes(long offset, long length)
    {
        IoBuffer zeroes = IoBufferPool.Rent((int)Math.Min(length, 1 << 20));
        try
        {
            zeroes.GetSpan().Clear();
            for (long done = 0; done < length;)
            {
                int piece = (int)Math.Min(length - done, zeroes.Capacity);
                Span<byte> bytes = zeroes.GetSpan()[..piece];
                if (_direct is { } direct)
                {
                    direct.Write(offset + done, bytes);
                }
                else
                {
                    _file.Write(bytes, offset + done);
                }

                done += piece;
            }
        }
        finally
        {
            zeroes.Return();
        }
    }

    private void SyncIf(BlockWriteFlags flags)
    {
        if ((flags & BlockWriteFlags.Fua) != 0)
        {
            Sync();
        }
    }

    /// <summary>Takes note of a change that has reached the page cache, before it is acknowledged.</summary>
    private void NoteChange()
    {
        if (!Volatile.Read(ref _unsynced))
        {
            Volatile.Write(ref _unsynced, true);
        }
    }

    /// <summary>Makes everything acknowledged so far durable; blocks.</summary>
    /// <remarks>With nothing new since the last sync there is nothing to do, unless that sync is still under way.</remarks>
    private void Sync()
    {
        if (Settings.CacheNoFlush)
        {
            return;
        }

        Interlocked.Increment(ref _syncsUnderWay);
        try
        {
            if (Interlocked.Exchange(ref _unsynced, false) || Volatile.Read(ref _syncsUnderWay) > 1)
            {
                _file.SyncData();
            }
        }
        catch (BlockIoException e)
        {
            Volatile.Write(ref _syncErrno, e.Errno);
        }
        finally
        {
            Interlocked.Decrement(ref _syncsUnderWay);
        }

        if (Volatile.Read(ref _syncErrno) is not 0 and int errno)
        {
            throw new BlockIoException(errno);
        }
    }
}
