using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Other sizes of the disk, none of its clusters, and clusters made ahead of their first write. Nothing is in flight.</summary>
public sealed partial class Qcow2Node
{
    /// <summary>Gives every guest cluster that has none a host cluster; it reads as before.</summary>
    /// <param name="mode">Whether its space is only described (metadata), reserved (falloc) or written (full).</param>
    /// <exception cref="BlockIoException">No room, or the medium failed.</exception>
    internal async ValueTask PreallocateAsync(PreallocMode mode)
    {
        long end = 0;
        for (long offset = 0; offset < SizeBytes;)
        {
            ClusterRun run = await PreallocateRunAsync(offset).ConfigureAwait(false);
            offset += run.Count << _clusterBits;
            end = Math.Max(end, (run.First + run.Count) << _clusterBits);
            if (mode != PreallocMode.Metadata)
            {
                long place = run.First << _clusterBits;
                long bytes = run.Count << _clusterBits;
                bytes = Layout.HasDataFile ? Math.Min(bytes, SizeBytes - place) : bytes;
                await _data.Node.PreallocateAsync(place, bytes, mode).ConfigureAwait(false);
            }
        }

        if (!Layout.HasDataFile && end > _image.File.SizeBytes)
        {
            await _file.Node.TruncateAsync(end).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    /// <remarks>
    /// A crash at any time leaves an image that reads the same, for each entry that is gone shows the same bytes below. The tables go too;
    /// snapshots keep theirs, and bitmaps stay as they are.
    /// </remarks>
    public override async ValueTask MakeEmptyAsync()
    {
        await ForgetFromAsync(0).ConfigureAwait(false);
        await DoFlushAsync().ConfigureAwait(false);
        await CutFileAsync().ConfigureAwait(false);
        if (Layout.HasDataFile && _image.Discards.Snapshot)
        {
            await _data.Node.DiscardAsync(0, SizeBytes).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    protected override async ValueTask DoTruncateAsync(long sizeBytes)
    {
        if (sizeBytes % Qcow2Format.SectorBytes != 0)
        {
            throw new BlockIoException(Errno.EINVAL, "The new size must be a multiple of 512");
        }

        if (Version < 3 && _image.Snapshots.Count > 0)
        {
            throw new BlockIoException(Errno.ENOTSUP, "Can't resize a v2 image which has snapshots");
        }

        _storedBitmaps.CheckResizable();
        if (sizeBytes < SizeBytes)
        {
            await ShrinkAsync(sizeBytes).ConfigureAwait(false);
        }
        else
        {
            await GrowAsync(sizeBytes).ConfigureAwait(false);
        }

        if (Layout.HasDataFile)
        {
            await _data.Node.TruncateAsync(sizeBytes).ConfigureAwait(false);
        }
    }

    private async ValueTask<ClusterRun> PreallocateRunAsync(long offset)
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            MetadataBlock slice = await _image.Map.LoadForChangeAsync(offset).ConfigureAwait(false);
            _ = _image.Map.Find(offset, out int entry);
            long wanted = Math.Min(_image.Map.SliceEntries - entry, ((SizeBytes - offset - 1) >> _clusterBits) + 1);
            ClusterRun run = Layout.HasDataFile
                ? new ClusterRun(offset >> _clusterBits, wanted)
                : await _image.Refcounts.AllocateAsync(wanted).ConfigureAwait(false);
            for (int i = 0; i < run.Count; i++)
            {
                Layout.Write(slice, entry + i, L2Entry.Data((run.First + i) << _clusterBits));
            }

            _image.Map.MarkDirty(slice);
            return run;
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    private async ValueTask GrowAsync(long sizeBytes)
    {
        long before = SizeBytes;
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await _image.Map.GrowAsync((long)Layout.TablesFor((ulong)sizeBytes)).ConfigureAwait(false);
        }
        catch (BlockIoException e)
        {
            throw new BlockIoException(e.Errno, $"Failed to grow the L1 table: {e.Message}");
        }
        finally
        {
            _image.Lock.Release();
        }

        SetSize(sizeBytes);
        try
        {
            await ZeroGrownAsync(before, sizeBytes).ConfigureAwait(false);
            await WriteSizeAsync(sizeBytes).ConfigureAwait(false);
        }
        catch
        {
            SetSize(before);
            throw;
        }
    }

    /// <summary>What a longer disk shows behind its old end must be zeroes: neither a longer backing file nor the rest of the last cluster.</summary>
    private async ValueTask ZeroGrownAsync(long before, long after)
    {
        long clusterEnd = (before + ClusterSizeBytes - 1) >> _clusterBits << _clusterBits;
        long end = Math.Min(after, Math.Max(clusterEnd, Backing?.Node.SizeBytes ?? 0));
        if (end > before)
        {
            await DoWriteZeroesAsync(before, end - before, BlockWriteFlags.None).ConfigureAwait(false);
        }
    }

    /// <summary>Gives back clusters and tables behind the new end, then the end of the file that nothing uses any more.</summary>
    private async ValueTask ShrinkAsync(long sizeBytes)
    {
        await ForgetFromAsync(sizeBytes).ConfigureAwait(false);
        await WriteSizeAsync(sizeBytes).ConfigureAwait(false);
        await CutFileAsync().ConfigureAwait(false);
    }

    /// <summary>Takes the entries from a guest position on out of the tables, and the tables that are no longer needed.</summary>
    private async ValueTask ForgetFromAsync(long sizeBytes)
    {
        long end = (sizeBytes + ClusterSizeBytes - 1) >> _clusterBits << _clusterBits;
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            _image.ThrowIfCorrupt();
            await ForgetClustersAsync(end).ConfigureAwait(false);
            _image.Map.Cut((long)Layout.TablesFor((ulong)sizeBytes));
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    /// <summary>Cuts off the end of the file that nothing uses any more.</summary>
    private async ValueTask CutFileAsync()
    {
        await _image.Lock.WaitAsync().ConfigureAwait(false);
        try
        {
            long used = (await _image.Refcounts.FindLastUsedAsync().ConfigureAwait(false) + 1) << _clusterBits;
            if (used < _image.File.SizeBytes)
            {
                await _file.Node.TruncateAsync(used).ConfigureAwait(false);
            }
        }
        finally
        {
            _image.Lock.Release();
        }
    }

    private async ValueTask ForgetClustersAsync(long offset)
    {
        while (offset < SizeBytes)
        {
            // As in QEMU, a table that stays is there afterwards: the file's length shows it.
            bool stays = (offset & ((1L << Layout.TableShift) - 1)) != 0;
            if (!stays && _image.Map.HasNoTable(offset))
            {
                offset += _image.Map.BytesWithoutTable(offset, SizeBytes - offset);
                continue;
            }

            long units = ((SizeBytes - offset - 1) >> Layout.UnitBits) + 1;
            offset += await ChangeEntriesAsync(offset, units, static (_, _, _) => default(L2Entry), Qcow2Discard.Always).ConfigureAwait(false) << Layout.UnitBits;
        }
    }

    private async ValueTask WriteSizeAsync(long sizeBytes)
    {
        await DoFlushAsync().ConfigureAwait(false);
        Header.SizeBytes = (ulong)sizeBytes;
        await _image.Header.SwitchAsync(_image.File).ConfigureAwait(false);
    }
}
