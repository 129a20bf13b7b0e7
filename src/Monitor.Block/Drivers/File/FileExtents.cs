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
    public ValueTask<BlockMapping> MapAsync(long offset, long length) =>
        KnownData(offset, length) is > 0 and long known ? new(Data(offset, known)) : new(BlockThreads.RunAsync(() => Find(offset, length)));

    /// <summary>The runs from <paramref name="offset"/> on, as far as there is room; asks the filesystem on a block thread if it must.</summary>
    public ValueTask<int> DescribeAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        long known = KnownData(offset, length);
        if (known < length)
        {
            return new(BlockThreads.RunAsync(() => Find(offset, length, runs.Span)));
        }

        runs.Span[0] = BlockStatus.Of(BlockMappingKind.Data, known);
        return new(1);
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

    /// <summary>How many bytes are data by what is remembered, or because the filesystem cannot tell; 0 if it must be asked.</summary>
    private long KnownData(long offset, long length)
    {
        DataRun? known = Volatile.Read(ref _lastData);
        return !_canSeek ? length
            : known is not null && offset >= known.Start && offset < known.End ? Math.Min(length, known.End - offset)
            : 0;
    }

    private BlockMapping Find(long offset, long length)
    {
        BlockStatus run = default;
        Find(offset, length, new Span<BlockStatus>(ref run));
        return run.IsZero ? new BlockMapping(BlockMappingKind.Zero, run.Length) : Data(offset, run.Length);
    }

    /// <summary>Holes and data in turn: one question to the filesystem for each run.</summary>
    private int Find(long offset, long length, Span<BlockStatus> runs)
    {
        int count = 0;
        long end = offset + length;
        try
        {
            while (offset < end && count < runs.Length)
            {
                long data = Math.Min(end, file.SeekData(offset));
                if (data > offset)
                {
                    runs[count++] = BlockStatus.Of(BlockMappingKind.Zero, data - offset);
                    offset = data;
                }

                // Somebody may have made a hole of it meanwhile: then the run is empty and is asked for again.
                if (offset < end && count < runs.Length && file.SeekHole(offset) is long hole && hole > offset)
                {
                    Volatile.Write(ref _lastData, new DataRun(offset, hole));
                    runs[count++] = BlockStatus.Of(BlockMappingKind.Data, Math.Min(end, hole) - offset);
                    offset = Math.Min(end, hole);
                }
            }
        }
        catch (BlockIoException e) when (e.Errno == Errno.EINVAL)
        {
            _canSeek = false;
            runs[count++] = BlockStatus.Of(BlockMappingKind.Data, end - offset);
        }

        return count;
    }

    private sealed record DataRun(long Start, long End);
}
