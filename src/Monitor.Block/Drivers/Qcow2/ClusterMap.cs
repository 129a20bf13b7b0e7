using System.Buffers.Binary;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The active L1 table and the L2 tables: which host cluster holds which guest cluster (qcow2 spec, "Cluster mapping").</summary>
/// <remarks>
/// The L1 table is in memory; L2 tables are cached in slices, found by guest position from any thread without a lock. Changes are made
/// under the allocation lock, in memory; <see cref="ImageMetadata"/> writes them back in order.
/// </remarks>
internal sealed partial class ClusterMap
{
    private readonly ImageMetadata _image;
    private readonly MetadataCache _slices;
    private readonly int _clusterBits;
    private readonly int _tableBits;
    private readonly int _sliceBits;
    private readonly L2Layout _layout;
    private ulong[] _l1;
    private int _dirtyFrom = int.MaxValue;
    private int _dirtyTo = -1;

    /// <summary>Takes over an L1 table that was read.</summary>
    /// <param name="image">What the map belongs to.</param>
    /// <param name="l1">Its entries in the machine's byte order.</param>
    /// <param name="sliceBytes">Bytes of an L2 table that are read and written at once.</param>
    /// <param name="cacheBytes">Bytes of L2 tables to keep.</param>
    public ClusterMap(ImageMetadata image, ulong[] l1, int sliceBytes, long cacheBytes)
    {
        _image = image;
        _l1 = l1;
        _clusterBits = (int)image.Header.Header.ClusterBits;
        _layout = image.Layout;
        _tableBits = _clusterBits - _layout.EntryBits;
        _sliceBits = System.Numerics.BitOperations.Log2((uint)sliceBytes) - _layout.EntryBits;
        _slices = new MetadataCache(sliceBytes, cacheBytes);
        foreach (ulong entry in l1)
        {
            long table = (long)(entry & Qcow2Format.OffsetMask);
            if (IsTablePlace(table))
            {
                image.Clusters.Add(table, ClusterBytes, MetadataClusters.ActiveL2);
            }
        }
    }

    /// <summary>Whether something differs from the image; from any thread.</summary>
    public bool HasDirty => _slices.HasDirty || HasDirtyL1;

    /// <summary>Whether the L1 table differs from the image.</summary>
    public bool HasDirtyL1 => Volatile.Read(ref _dirtyTo) >= 0;

    private int ClusterBytes => 1 << _clusterBits;

    private int TableShift => _clusterBits + _tableBits;

    private int SlicesPerTable => 1 << (_tableBits - _sliceBits);

    /// <summary>Entries in a slice.</summary>
    public int SliceEntries => 1 << _sliceBits;

    /// <summary>The slice that holds a guest position's entry, if it is in memory.</summary>
    /// <param name="guestOffset">Guest position in bytes.</param>
    /// <param name="entry">The entry's number in the slice.</param>
    public MetadataBlock? Find(long guestOffset, out int entry)
    {
        long cluster = guestOffset >> _clusterBits;
        entry = (int)cluster & ((1 << _sliceBits) - 1);
        return _slices.Find(cluster >> _sliceBits);
    }

    /// <summary>Whether a guest position has no L2 table.</summary>
    public bool HasNoTable(long guestOffset) => (Volatile.Read(ref _l1[guestOffset >> TableShift]) & Qcow2Format.OffsetMask) == 0;

    /// <summary>Guest bytes from a position to the end of what its L2 table covers.</summary>
    public long BytesToTableEnd(long guestOffset) => (1L << TableShift) - (guestOffset & ((1L << TableShift) - 1));

    /// <summary>Guest bytes from a position that has no table to the next that has one, within a length.</summary>
    public long BytesWithoutTable(long guestOffset, long length)
    {
        long run = BytesToTableEnd(guestOffset);
        while (run < length && HasNoTable(guestOffset + run))
        {
            run += 1L << TableShift;
        }

        return Math.Min(run, length);
    }

    /// <summary>The slice that holds a guest position's entry, read if need be; <see langword="null"/> if there is no table. Under the lock.</summary>
    /// <exception cref="BlockIoException">The medium failed, or the L1 entry is damaged.</exception>
    public ValueTask<MetadataBlock?> LoadAsync(long guestOffset) => LoadAsync(guestOffset, BlkdebugEvent.L2Load);

    private async ValueTask<MetadataBlock?> LoadAsync(long guestOffset, BlkdebugEvent? evt)
    {
        if (Find(guestOffset, out _) is { } found)
        {
            return found;
        }

        long index = guestOffset >> TableShift;
        long table = (long)(_l1[index] & Qcow2Format.OffsetMask);
        if (table == 0)
        {
            return null;
        }

        if (!IsTablePlace(table))
        {
            throw await _image.Corruption.ReportL2TableAsync(table, ClusterBytes, index).ConfigureAwait(false);
        }

        return await ReadSliceAsync(guestOffset, table, evt).ConfigureAwait(false);
    }

    /// <summary>The slice that holds a guest position's entry, in a table that may be changed. Under the lock.</summary>
    /// <exception cref="BlockIoException">No room, the medium failed, or the tables are damaged.</exception>
    public async ValueTask<MetadataBlock> LoadForChangeAsync(long guestOffset)
    {
        int index = (int)(guestOffset >> TableShift);
        ulong entry = _l1[index];
        long table = (long)(entry & Qcow2Format.OffsetMask);
        BlkdebugEvent? evt = null;
        if (table == 0)
        {
            await AddTableAsync(index).ConfigureAwait(false);
        }
        else if ((entry & Qcow2Format.Copied) == 0)
        {
            await CopyTableAsync(index, table).ConfigureAwait(false);
        }
        else if (_image.Clusters.FindForbidden(table, 1) is { } owner and not MetadataClusters.ActiveL2)
        {
            throw await _image.Corruption.ReportAsync(table, ClusterBytes, $"Preventing invalid write on metadata (overlaps with {owner})")
                .ConfigureAwait(false);
        }
        else
        {
            evt = BlkdebugEvent.L2Load;
        }

        return (await LoadAsync(guestOffset, evt).ConfigureAwait(false))!;
    }

    /// <summary>Bytes in memory.</summary>
    public long CachedBytes => (long)_slices.Count * _slices.BlockBytes;

    /// <summary>Changes how many bytes of tables are kept. Under the lock.</summary>
    public void SetCacheSize(long bytes) => _slices.SetCapacity(bytes);

    /// <summary>Forgets what was not used since the last call. Under the lock.</summary>
    /// <returns>Bytes that became free.</returns>
    public long DropUnused() => _slices.DropUnused();

    /// <summary>Takes note that a slice was changed.</summary>
    public void MarkDirty(MetadataBlock slice) => _slices.MarkDirty(slice);

    /// <summary>The active L1 table as it is now.</summary>
    public ulong[] CopyL1() => [.. _l1];

    /// <summary>Writes changed slices.</summary>
    public ValueTask WriteSlicesAsync() => _slices.WriteDirtyAsync(_image.File, BlkdebugEvent.L2Update);

    /// <summary>Writes the changed part of the L1 table, in whole sectors.</summary>
    public async ValueTask WriteL1Async()
    {
        const int entriesPerSector = Qcow2Format.SectorBytes / sizeof(ulong);
        int from = _dirtyFrom / entriesPerSector * entriesPerSector;
        int to = Math.Min(_l1.Length, (_dirtyTo / entriesPerSector * entriesPerSector) + entriesPerSector);
        await _image.File.WriteAsync((long)_image.Header.Header.L1Offset + (from * sizeof(ulong)), L1Bytes(_l1.AsSpan(from, to - from)), BlkdebugEvent.L1Update)
            .ConfigureAwait(false);
        (_dirtyFrom, _dirtyTo) = (int.MaxValue, -1);
    }

    /// <summary>Moves to a longer L1 table. Nothing is in flight; under the lock.</summary>
    /// <param name="entries">Entries of the new table.</param>
    /// <exception cref="BlockIoException">No room, or the medium failed.</exception>
    public async ValueTask GrowAsync(long entries)
    {
        if (entries <= _l1.Length)
        {
            return;
        }

        if (entries * sizeof(ulong) > Qcow2Format.MaximumL1Bytes)
        {
            throw new BlockIoException(Errno.EFBIG);
        }

        _image.File.Tell(BlkdebugEvent.L1GrowAllocTable);

        ulong[] longer = new ulong[entries];
        _l1.CopyTo(longer, 0);
        long bytes = entries * sizeof(ulong);
        ClusterRun run = await _image.Refcounts.AllocateContiguousAsync((bytes + ClusterBytes - 1) >> _clusterBits).ConfigureAwait(false);
        long place = run.First << _clusterBits;
        Qcow2Header header = _image.Header.Header;
        (long oldPlace, long oldBytes) = ((long)header.L1Offset, (long)header.L1Entries * sizeof(ulong));
        try
        {
            await SwitchToAsync(longer, place).ConfigureAwait(false);
        }
        catch (BlockIoException) when (!_image.File.HasFailed)
        {
            await _image.Refcounts.DecreaseAsync(run).ConfigureAwait(false);
            throw;
        }

        Volatile.Write(ref _l1, longer);
        _image.Clusters.Remove(oldPlace, oldBytes);
        _image.Clusters.Add(place, bytes, MetadataClusters.ActiveL1);
        long oldClusters = (oldBytes + ClusterBytes - 1) >> _clusterBits;
        await _image.FreeAsync(new ClusterRun(oldPlace >> _clusterBits, oldClusters), Qcow2Discard.Other).ConfigureAwait(false);
    }

    private async ValueTask SwitchToAsync(ulong[] l1, long place)
    {
        await _image.FlushAsync().ConfigureAwait(false);
        await _image.File.WriteAsync(place, L1Bytes(l1), BlkdebugEvent.L1GrowWriteTable).ConfigureAwait(false);
        await _image.File.FlushAsync().ConfigureAwait(false);
        (_image.Header.Header.L1Offset, _image.Header.Header.L1Entries) = ((ulong)place, (uint)l1.Length);
        _image.File.Tell(BlkdebugEvent.L1GrowActivateTable);
        await _image.Header.SwitchAsync(_image.File).ConfigureAwait(false);
    }

    /// <summary>Gives back the tables from one on; their entries are empty, nothing is in flight. Under the lock.</summary>
    /// <param name="firstTable">Number of its L1 entry.</param>
    public void Cut(long firstTable)
    {
        for (int index = (int)firstTable; index < _l1.Length; index++)
        {
            long table = (long)(_l1[index] & Qcow2Format.OffsetMask);
            if (table == 0)
            {
                continue;
            }

            ForgetSlices(index);
            SetL1(index, 0);
            _image.Clusters.Remove(table, ClusterBytes);
            _image.Retired.Add(new ClusterRun(table >> _clusterBits, 1), Qcow2Discard.Always);
        }
    }

    private bool IsTablePlace(long table) => table != 0 && (table & (ClusterBytes - 1)) == 0 && table < _image.File.SizeBytes;

    private async ValueTask<MetadataBlock> ReadSliceAsync(long guestOffset, long table, BlkdebugEvent? evt)
    {
        if (!_slices.MakeRoom())
        {
            await _image.WriteBackAsync().ConfigureAwait(false);
            _slices.MakeRoom();
        }

        long index = guestOffset >> _clusterBits >> _sliceBits;
        long place = table + (index % SlicesPerTable * _slices.BlockBytes);
        byte[] bytes = new byte[_slices.BlockBytes];
        await _image.File.ReadAsync(place, bytes, evt).ConfigureAwait(false);
        var slice = new MetadataBlock(index, place, bytes);
        slice.IsSuspect = IsSuspect(slice);
        _slices.Add(slice);
        return slice;
    }

    private async ValueTask AddTableAsync(int index)
    {
        ClusterRun run = await _image.Refcounts.AllocateAsync(1).ConfigureAwait(false);
        await FillTableAsync(index, run, source: -1).ConfigureAwait(false);
    }

    /// <summary>Gives the active L1 table its own copy of a table that a snapshot shares.</summary>
    private async ValueTask CopyTableAsync(int index, long table)
    {
        if (!IsTablePlace(table))
        {
            throw await _image.Corruption.ReportL2TableAsync(table, ClusterBytes, index).ConfigureAwait(false);
        }

        ClusterRun run = await _image.Refcounts.AllocateAsync(1).ConfigureAwait(false);
        await FillTableAsync(index, run, table).ConfigureAwait(false);
        for (long i = 0; i < SlicesPerTable; i++)
        {
            if (_slices.Find(((long)index * SlicesPerTable) + i) is { } slice)
            {
                slice.HostOffset = (run.First << _clusterBits) + (i * _slices.BlockBytes);
            }
        }

        _image.Clusters.Remove(table, ClusterBytes);
        _image.Retired.Add(new ClusterRun(table >> _clusterBits, 1), Qcow2Discard.Never);
    }

    private async ValueTask FillTableAsync(int index, ClusterRun run, long source)
    {
        IoBuffer content = IoBufferPool.Rent(ClusterBytes);
        try
        {
            Memory<byte> bytes = content.Memory[..ClusterBytes];
            bytes.Span.Clear();
            if (source >= 0)
            {
                await _image.File.ReadAsync(source, bytes, BlkdebugEvent.L2AllocCowRead).ConfigureAwait(false);
            }

            await _image.File.WriteAsync(run.First << _clusterBits, bytes, BlkdebugEvent.L2AllocWrite).ConfigureAwait(false);
        }
        catch
        {
            await _image.Refcounts.DecreaseAsync(run).ConfigureAwait(false);
            throw;
        }
        finally
        {
            content.Return();
        }

        long table = run.First << _clusterBits;
        _image.Clusters.Add(table, ClusterBytes, MetadataClusters.ActiveL2);
        SetL1(index, (ulong)table | Qcow2Format.Copied);
    }

    private void SetL1(int index, ulong entry)
    {
        Volatile.Write(ref _l1[index], entry);
        _dirtyFrom = Math.Min(_dirtyFrom, index);
        Volatile.Write(ref _dirtyTo, Math.Max(_dirtyTo, index));
    }

    private void ForgetSlices(int index)
    {
        for (long i = 0; i < SlicesPerTable; i++)
        {
            if (_slices.Find(((long)index * SlicesPerTable) + i) is { } slice)
            {
                _slices.Remove(slice);
            }
        }
    }

    /// <summary>Entries of a table as the image holds them.</summary>
    public static byte[] L1Bytes(ReadOnlySpan<ulong> entries)
    {
        byte[] bytes = new byte[entries.Length * sizeof(ulong)];
        for (int i = 0; i < entries.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * sizeof(ulong)), entries[i]);
        }

        return bytes;
    }
}
