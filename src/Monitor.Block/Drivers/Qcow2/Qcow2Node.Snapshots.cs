using System.Globalization;
using System.Text;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The snapshots in the image.</summary>
public sealed partial class Qcow2Node
{
    private const long NanosecondsPerSecond = 1_000_000_000;
    private const string SnapshotIsReadOnly = "A snapshot can only be opened read-only";

    /// <summary>The snapshots in the image, oldest first.</summary>
    public IReadOnlyList<SnapshotInfo> ListSnapshots() => [.. _image.Snapshots.Select(Describe)];

    /// <summary>Takes a snapshot of the disk as it is now. The doors above are closed; runs off the loop.</summary>
    /// <param name="name">Its name, not empty, cut after 255 bytes.</param>
    /// <param name="now">The date it is given.</param>
    /// <returns>What it is.</returns>
    /// <exception cref="BlockIoException">EINVAL or EFBIG: the image cannot hold it; ENOTSUP: its data is in another file. Or the medium failed, or its tables are damaged; then nothing was changed.</exception>
    public async ValueTask<SnapshotInfo> CreateSnapshotAsync(string name, DateTimeOffset now)
    {
        if (Layout.HasDataFile)
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        await EnterIdleAsync().ConfigureAwait(false);
        try
        {
            long nanoseconds = (now.Ticks - DateTimeOffset.UnixEpoch.Ticks) * TimeSpan.NanosecondsPerTick;
            byte[] nameBytes = Encoding.UTF8.GetBytes(name);
            var snapshot = new Qcow2Snapshot
            {
                L1Offset = 0,
                L1Entries = 0,
                IdBytes = Encoding.ASCII.GetBytes(NextSnapshotId()),
                NameBytes = nameBytes[..Math.Min(nameBytes.Length, Qcow2Snapshot.MaximumNameBytes)],
                DateSeconds = (uint)(nanoseconds / NanosecondsPerSecond),
                DateNanoseconds = (uint)(nanoseconds % NanosecondsPerSecond),
                VmClockNanoseconds = (ulong)nanoseconds,
                DiskBytes = Header.SizeBytes,
            };
            await SnapshotChange.AddAsync(_image, snapshot).ConfigureAwait(false);
            await _image.NoteInactiveL2Async().ConfigureAwait(false);
            return Describe(snapshot);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Deletes a snapshot. The doors above are closed; runs off the loop.</summary>
    /// <param name="id">The id of the snapshot, as <see cref="ListSnapshots"/> gives it.</param>
    /// <param name="name">Its name.</param>
    /// <exception cref="QmpException">Its tables cannot be where they are said to be.</exception>
    /// <exception cref="BlockIoException">ENOENT: there is none. Or the medium failed, or the tables are damaged; then nothing was changed.</exception>
    public async ValueTask DeleteSnapshotAsync(string id, string name)
    {
        await EnterIdleAsync().ConfigureAwait(false);
        try
        {
            Qcow2Snapshot snapshot = _image.Snapshots.FirstOrDefault(snapshot => snapshot.Id == id && snapshot.Name == name)
                ?? throw new BlockIoException(Errno.ENOENT);
            await SnapshotChange.RemoveAsync(_image, snapshot).ConfigureAwait(false);
            await _image.NoteInactiveL2Async().ConfigureAwait(false);
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Whether the node shows a snapshot instead of the disk.</summary>
    private bool ShowsSnapshot => _options?.XSnapshot is not null;

    /// <summary>Puts a snapshot's L1 table in the place of the active one. The image may be in use: what a snapshot reaches never changes.</summary>
    private async ValueTask<(Qcow2OpenImage Image, long SizeBytes)> ShowSnapshotAsync(Qcow2OpenImage image, string wanted)
    {
        if (!IsReadOnly)
        {
            throw new QmpException(SnapshotIsReadOnly);
        }

        Qcow2Snapshot snapshot = image.Snapshots.Find(snapshot => snapshot.Id == wanted) ?? image.Snapshots.Find(snapshot => snapshot.Name == wanted)
            ?? throw new QmpException($"Can't find snapshot '{wanted}'");
        Qcow2Header header = image.Header.Header;
        ulong[] l1 = await SnapshotChange.ReadL1Async(image.File, header, snapshot).ConfigureAwait(false);
        ulong size = snapshot.DiskBytes ?? header.SizeBytes;
        ulong needed = L2Layout.For(header).TablesFor(size);
        if (needed > (ulong)Qcow2Format.MaximumL1Bytes / sizeof(ulong))
        {
            throw new QmpException("Image is too big");
        }

        Array.Resize(ref l1, Math.Max(l1.Length, (int)needed));
        return (image with { L1 = l1 }, (long)size);
    }

    private static SnapshotInfo Describe(Qcow2Snapshot snapshot) => new()
    {
        Id = snapshot.Id,
        Name = snapshot.Name,
        VmStateSize = (long)snapshot.VmStateBytes,
        DateSec = snapshot.DateSeconds,
        DateNsec = snapshot.DateNanoseconds,
        VmClockSec = (long)(snapshot.VmClockNanoseconds / NanosecondsPerSecond),
        VmClockNsec = (long)(snapshot.VmClockNanoseconds % NanosecondsPerSecond),
        Icount = snapshot.Icount == Qcow2Snapshot.NoIcount ? null : (long)snapshot.Icount,
    };

    /// <summary>One more than the largest id that is a number.</summary>
    private string NextSnapshotId()
    {
        ulong largest = 0;
        foreach (Qcow2Snapshot snapshot in _image.Snapshots)
        {
            largest = ulong.TryParse(snapshot.Id, NumberStyles.None, CultureInfo.InvariantCulture, out ulong id) ? Math.Max(largest, id) : largest;
        }

        return (largest + 1).ToString(CultureInfo.InvariantCulture);
    }

    /// <summary>Takes the lock at a time when no allocation is under way.</summary>
    private async ValueTask EnterIdleAsync()
    {
        while (true)
        {
            await _image.Lock.WaitAsync().ConfigureAwait(false);
            if (_inFlight.Count == 0)
            {
                return;
            }

            Task done = _inFlight[0].Done;
            _image.Lock.Release();
            await done.ConfigureAwait(false);
        }
    }
}
