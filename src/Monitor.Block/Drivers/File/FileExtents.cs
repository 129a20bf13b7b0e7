using Monitor.Block.Io;

namespace Monitor.Block.Drivers.File;

/// <summary>Data and holes of a file: finds them, makes holes and zeroes. Blocks, except where said.</summary>
/// <remarks>
/// The last run of data found is remembered, so that a walk in small steps asks the filesystem once per run. Nothing must keep that
/// memory exact: calling a hole data is always right, only slower to copy. It is dropped when a hole is made or the file is cut.
/// </remarks>
internal sealed class FileExtents(PosixFile file)
{
    private DataRun? _lastData;
    private bool _canPunch = true;
    private bool _canZero = true;
    private bool _canSeek = true;

    /// <summary>The run that begins at <paramref name="offset"/>; asks the filesystem on a block thread if it must.</summary>
    public ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        DataRun? known = Volatile.Read(ref _lastData);
        if (!_canSeek || (known is not null && offset >= known.Start && offset < known.End))
        {
            return new(Data(offset, known is not null && _canSeek ? Math.Min(length, known.End - offset) : length));
        }

        return new(BlockThreads.RunAsync(() => Find(offset, length)));
    }

    /// <summary>Drops what is remembered.</summary>
    public void Forget() => Volatile.Write(ref _lastData, null);

    /// <summary>Gives the range's space back, if the filesystem can.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public bool TryPunchHole(long offset, long length)
    {
        if (!_canPunch)
        {
            return false;
        }

        Forget();
        _canPunch = file.TryPunchHole(offset, length);
        Forget();
        return _canPunch;
    }

    /// <summary>Makes the range read as zeroes without writing it out; the file grows if the range ends past it.</summary>
    /// <param name="offset">Start in bytes.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mayUnmap">Whether its space may be given back.</param>
    /// <param name="fileSize">The file's size.</param>
    /// <returns>Whether the filesystem can.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public bool TryZero(long offset, long length, bool mayUnmap, long fileSize)
    {
        // The file is lengthened by keeping its last byte's space, not by ftruncate: that would cut off what another write appends meanwhile.
        if (mayUnmap && TryPunchHole(offset, length) && (offset + length <= fileSize || file.TryReserve(offset + length - 1, 1)))
        {
            return true;
        }

        if (_canZero)
        {
            _canZero = file.TryZeroRange(offset, length);
        }

        return _canZero || (TryPunchHole(offset, length) && file.TryReserve(offset, length));
    }

    private static BlockMapping Data(long offset, long length) => new(BlockMappingKind.Data, length, null, new HostOffset(offset));

    private BlockMapping Find(long offset, long length)
    {
        try
        {
            long data = file.SeekData(offset);
            if (data > offset)
            {
                return new BlockMapping(BlockMappingKind.Zero, Math.Min(length, data - offset));
            }

            long hole = file.SeekHole(offset);
            Volatile.Write(ref _lastData, new DataRun(offset, hole));
            return Data(offset, Math.Min(length, hole - offset));
        }
        catch (BlockIoException e) when (e.Errno == Errno.EINVAL)
        {
            _canSeek = false;
            return Data(offset, length);
        }
    }

    private sealed record DataRun(long Start, long End);
}
