using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Reads and builds the snapshot table (qcow2 spec, "Snapshots"): entries of different lengths, one behind the other.</summary>
/// <remarks>The table's length stands nowhere, so it is read through a window that moves along; no entry is longer than the window.</remarks>
internal sealed class Qcow2SnapshotTable
{
    private const int MaximumExtraBytes = 1024;
    private const int WindowBytes = Qcow2Snapshot.FixedBytes + MaximumExtraBytes + (2 * ushort.MaxValue);

    private readonly ImageFile _file;
    private readonly Qcow2Header _header;
    private readonly byte[] _window = new byte[WindowBytes];
    private long _windowOffset = -1;

    private Qcow2SnapshotTable(ImageFile file, Qcow2Header header)
    {
        _file = file;
        _header = header;
    }

    /// <summary>Reads all entries.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="header">Its header; the table's place has been checked.</param>
    /// <returns>The entries and the bytes that they take.</returns>
    /// <exception cref="QmpException">An entry is unsound, or the table too large.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public static async ValueTask<(List<Qcow2Snapshot> Snapshots, long Bytes)> ReadAsync(ImageFile file, Qcow2Header header) =>
        header.SnapshotCount == 0 ? ([], 0) : await new Qcow2SnapshotTable(file, header).ReadAsync().ConfigureAwait(false);

    /// <summary>Builds a table.</summary>
    /// <param name="snapshots">Its entries.</param>
    /// <param name="diskBytes">The size of the disk now, for entries that do not give theirs.</param>
    /// <exception cref="BlockIoException">EFBIG: too many entries, or too long.</exception>
    public static byte[] ToBytes(IReadOnlyList<Qcow2Snapshot> snapshots, ulong diskBytes)
    {
        var bytes = new List<byte>();
        foreach (Qcow2Snapshot snapshot in snapshots)
        {
            bytes.AddRange(snapshot.ToBytes(diskBytes));
            if (bytes.Count > Qcow2Format.MaximumSnapshotTableBytes || snapshots.Count > Qcow2Format.MaximumSnapshots)
            {
                throw new BlockIoException(Errno.EFBIG);
            }
        }

        return [.. bytes];
    }

    private async ValueTask<(List<Qcow2Snapshot> Snapshots, long Bytes)> ReadAsync()
    {
        var snapshots = new List<Qcow2Snapshot>();
        long offset = (long)_header.SnapshotsOffset;
        for (uint i = 0; i < _header.SnapshotCount; i++)
        {
            offset = (offset + 7) & ~7L;
            await ShowAsync(offset, Qcow2Snapshot.FixedBytes).ConfigureAwait(false);
            if (Qcow2Snapshot.ExtraBytes(At(offset)) > MaximumExtraBytes)
            {
                throw new QmpException($"Too much extra metadata in snapshot table entry {i}");
            }

            int length = Qcow2Snapshot.FixedBytes + (int)Qcow2Snapshot.VariableBytes(At(offset));
            await ShowAsync(offset, length).ConfigureAwait(false);
            snapshots.Add(Qcow2Snapshot.Read(At(offset)[..length]));
            offset += length;
            if (offset - (long)_header.SnapshotsOffset > Qcow2Format.MaximumSnapshotTableBytes)
            {
                throw new QmpException("Snapshot table is too big");
            }
        }

        return (snapshots, offset - (long)_header.SnapshotsOffset);
    }

    private ReadOnlySpan<byte> At(long offset) => _window.AsSpan((int)(offset - _windowOffset));

    private ValueTask ShowAsync(long offset, int length)
    {
        if (_windowOffset >= 0 && offset + length <= _windowOffset + WindowBytes)
        {
            return default;
        }

        _windowOffset = offset;
        return _file.ReadAsync(offset, _window);
    }
}
