using System.Buffers.Binary;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>A run of host clusters.</summary>
/// <param name="First">The first cluster's number.</param>
/// <param name="Count">How many.</param>
/// <param name="IsFresh">Never used since the file ended before it, so it reads as zeroes.</param>
internal readonly record struct ClusterRun(long First, long Count, bool IsFresh = false);

/// <summary>The refcount table and its blocks (qcow2 spec, "Host cluster management"): which host clusters are in use. Used under the allocation lock.</summary>
/// <remarks>
/// <para>A refcount in memory is never lower than what the image's tables need: it goes up before an entry is made and down only after
/// the entry's removal is durable. So blocks may be written at any time in any order, and a crash costs leaked clusters at worst.</para>
/// <para>A block that is missing is put in the first cluster of the range it describes, which is free because nothing describes it:
/// with 64 KiB clusters and 16-bit refcounts, block 1 describes and begins at host offset 2 GiB.</para>
/// </remarks>
internal sealed partial class Refcounts
{
    private const int EntriesPerSector = Qcow2Format.SectorBytes / sizeof(ulong);

    private readonly ImageFile _file;
    private readonly Qcow2HeaderCluster _header;
    private readonly MetadataClusters _metadata;
    private readonly CorruptionReporter _corruption;
    private readonly MetadataCache _blocks;
    private readonly RefcountWidth _width;
    private readonly int _clusterBits;
    private readonly int _blockBits;

    /// <summary>The table without the zeroes at its end.</summary>
    private ulong[] _table;
    private bool _tableDirty;
    private long _freeHint;
    private long _freshStart;

    /// <summary>Takes over a table that was read.</summary>
    public Refcounts(
        ImageFile file, Qcow2HeaderCluster header, MetadataClusters metadata, CorruptionReporter corruption, ulong[] table, long cacheBytes)
    {
        _file = file;
        _header = header;
        _metadata = metadata;
        _corruption = corruption;
        _table = table;
        _clusterBits = (int)header.Header.ClusterBits;
        _blockBits = _clusterBits + 3 - (int)header.Header.RefcountOrder;
        _width = new RefcountWidth((int)header.Header.RefcountOrder);
        _blocks = new MetadataCache(ClusterBytes, cacheBytes);
        _freshStart = FileClusters;
        foreach (ulong entry in table)
        {
            long offset = (long)(entry & Qcow2Format.OffsetMask);
            if (IsBlockPlace(offset))
            {
                metadata.Add(offset, ClusterBytes, MetadataClusters.RefcountBlock);
            }
        }
    }

    /// <summary>Whether something differs from the image.</summary>
    public bool HasDirty => _blocks.HasDirty || _tableDirty;

    private int ClusterBytes => 1 << _clusterBits;

    private int EntriesPerBlock => 1 << _blockBits;

    /// <summary>Entries of the table on the disk.</summary>
    private long TableEntries => ((long)_header.Header.RefcountTableClusters << _clusterBits) / sizeof(ulong);

    private long FileClusters => (_file.SizeBytes + ClusterBytes - 1) >> _clusterBits;

    /// <summary>Takes the next free clusters, refcount 1.</summary>
    /// <param name="wanted">How many, at least 1.</param>
    /// <returns>At least one cluster, at most what was wanted.</returns>
    /// <exception cref="BlockIoException">No room, the medium failed, or the refcounts are damaged.</exception>
    public ValueTask<ClusterRun> AllocateAsync(long wanted) => AllocateAsync(1, wanted);

    /// <summary>Takes free clusters in one piece, refcount 1.</summary>
    /// <exception cref="BlockIoException">No room, the medium failed, or the refcounts are damaged.</exception>
    public ValueTask<ClusterRun> AllocateContiguousAsync(long count) =>
        count < EntriesPerBlock ? AllocateAsync(count, count) : AppendAsync(count);

    /// <summary>Takes one reference away from each of some clusters.</summary>
    /// <returns>Whether all of them are free now.</returns>
    /// <exception cref="BlockIoException">The medium failed, or a refcount is zero already.</exception>
    public async ValueTask<bool> DecreaseAsync(ClusterRun run)
    {
        _file.Tell(BlkdebugEvent.ClusterFree);
        bool free = true;
        for (long cluster = run.First; cluster < run.First + run.Count; cluster++)
        {
            MetadataBlock? block = await FindBlockAsync(cluster >> _blockBits).ConfigureAwait(false);
            int index = (int)(cluster & (EntriesPerBlock - 1));
            ulong count = block is null ? 0 : _width.Read(block.Bytes, index);
            if (count == 0)
            {
                throw await _corruption.ReportAsync(cluster << _clusterBits, ClusterBytes, $"Refcount of used cluster {Qcow2Format.Hex(cluster << _clusterBits)} is zero")
                    .ConfigureAwait(false);
            }

            if (count == 1 && _file.BeforeChange is { } look)
            {
                await look(cluster << _clusterBits, ClusterBytes).ConfigureAwait(false);
            }

            _width.Write(block!.Bytes, index, count - 1);
            _blocks.MarkDirty(block);
            if (count == 1)
            {
                _freeHint = Math.Min(_freeHint, cluster);
                ForgetFreeBytes(cluster);
            }

            free &= count == 1;
        }

        return free;
    }

    /// <summary>How many references a cluster has.</summary>
    /// <exception cref="BlockIoException">The medium failed, or the refcounts are damaged.</exception>
    public async ValueTask<ulong> ReadAsync(long cluster)
    {
        MetadataBlock? block = await FindBlockAsync(cluster >> _blockBits).ConfigureAwait(false);
        return block is null ? 0 : _width.Read(block.Bytes, (int)(cluster & (EntriesPerBlock - 1)));
    }

    /// <summary>Bytes in memory.</summary>
    public long CachedBytes => (long)_blocks.Count * _blocks.BlockBytes;

    /// <summary>Changes how many bytes of blocks are kept.</summary>
    public void SetCacheSize(long bytes) => _blocks.SetCapacity(bytes);

    /// <summary>Forgets what was not used since the last call.</summary>
    /// <returns>Bytes that became free.</returns>
    public long DropUnused() => _blocks.DropUnused();

    /// <summary>The last cluster that is in use.</summary>
    /// <exception cref="BlockIoException">The medium failed, or the refcounts are damaged.</exception>
    public async ValueTask<long> FindLastUsedAsync()
    {
        for (long index = Array.FindLastIndex(_table, static e => e != 0); index >= 0; index--)
        {
            if (await FindBlockAsync(index).ConfigureAwait(false) is not { } block)
            {
                continue;
            }

            for (int i = EntriesPerBlock - 1; i >= 0; i--)
            {
                if (_width.Read(block.Bytes, i) != 0)
                {
                    return (index << _blockBits) + i;
                }
            }
        }

        return 0;
    }

    /// <summary>Writes changed blocks, then the table that points at new ones; the caller syncs afterwards.</summary>
    /// <exception cref="BlockIoException">The medium failed; what was not written stays changed.</exception>
    public async ValueTask WriteBackAsync()
    {
        await _blocks.WriteDirtyAsync(_file, BlkdebugEvent.RefblockUpdatePart).ConfigureAwait(false);
        if (_tableDirty)
        {
            await _file.FlushAsync().ConfigureAwait(false);
            await _file.WriteAsync((long)_header.Header.RefcountTableOffset, TableBytes(_table), BlkdebugEvent.RefblockAllocHookup).ConfigureAwait(false);
            _tableDirty = false;
        }
    }

    /// <summary>The table as it is now, without the zeroes at its end.</summary>
    public ulong[] CopyTable() => [.. _table];

    /// <summary>Takes note that others have written behind everything in use.</summary>
    public void ForgetFresh() => _freshStart = Math.Max(_freshStart, FileClusters);

    private async ValueTask<ClusterRun> AllocateAsync(long least, long most)
    {
        _file.Tell(BlkdebugEvent.ClusterAlloc);
        _file.Tell(BlkdebugEvent.RefblockAlloc);
        for (long cluster = _freeHint; ;)
        {
            MetadataBlock block = await BlockForAllocationAsync(cluster >> _blockBits).ConfigureAwait(false);
            long range = block.Index << _blockBits;
            int start = _width.FindFree(block.Bytes, (int)(cluster - range));
            if (start < 0)
            {
                cluster = range + EntriesPerBlock;
                continue;
            }

            int count = _width.CountFree(block.Bytes, start, (int)Math.Min(most, EntriesPerBlock - start));
            if (count >= least)
            {
                return await TakeAsync(block, start, count, leavesGap: least > 1).ConfigureAwait(false);
            }

            cluster = range + start + count;
        }
    }

    private async ValueTask<ClusterRun> TakeAsync(MetadataBlock block, int start, int count, bool leavesGap)
    {
        long first = (block.Index << _blockBits) + start;
        await CheckUnusedAsync(first, count).ConfigureAwait(false);
        for (int i = 0; i < count; i++)
        {
            _width.Write(block.Bytes, start + i, 1);
        }

        _blocks.MarkDirty(block);
        if (!leavesGap || first == _freeHint)
        {
            _freeHint = first + count;
        }

        return Fresh(first, count);
    }

    private ClusterRun Fresh(long first, long count)
    {
        bool fresh = first >= _freshStart;
        _freshStart = Math.Max(_freshStart, first + count);
        return new ClusterRun(first, count, fresh);
    }

    /// <summary>Refuses to hand out what a structure of the image occupies although its refcount is zero.</summary>
    private async ValueTask CheckUnusedAsync(long first, long count)
    {
        if ((first + count) << _clusterBits >= Qcow2Format.MaximumHostOffset)
        {
            throw new BlockIoException(Errno.EFBIG);
        }

        if (_metadata.FindOverlap(first << _clusterBits, count << _clusterBits) is { } owner)
        {
            throw await _corruption.ReportAsync(
                first << _clusterBits, count << _clusterBits, $"Preventing invalid write on metadata (overlaps with {owner})").ConfigureAwait(false);
        }
    }

    private ValueTask<MetadataBlock?> FindBlockAsync(long blockIndex)
    {
        if (_blocks.Find(blockIndex) is { } block)
        {
            return new ValueTask<MetadataBlock?>(block);
        }

        long offset = blockIndex < _table.Length ? (long)(_table[blockIndex] & Qcow2Format.OffsetMask) : 0;
        return offset == 0 ? default : LoadBlockAsync(blockIndex, offset);
    }

    private async ValueTask<MetadataBlock?> LoadBlockAsync(long blockIndex, long offset)
    {
        if (!IsBlockPlace(offset))
        {
            throw await _corruption.ReportRefcountBlockAsync(offset, ClusterBytes, blockIndex).ConfigureAwait(false);
        }

        await MakeRoomAsync().ConfigureAwait(false);
        var block = new MetadataBlock(blockIndex, offset, new byte[ClusterBytes]);
        await _file.ReadAsync(offset, block.Bytes, BlkdebugEvent.RefblockLoad).ConfigureAwait(false);
        _blocks.Add(block);
        return block;
    }

    private bool IsBlockPlace(long offset) => offset != 0 && (offset & (ClusterBytes - 1)) == 0 && offset < _file.SizeBytes;

    private ValueTask MakeRoomAsync() => _blocks.MakeRoom() ? default : WriteAndMakeRoomAsync();

    private async ValueTask WriteAndMakeRoomAsync()
    {
        _file.ThrowIfFailed();
        await _blocks.WriteDirtyAsync(_file, BlkdebugEvent.RefblockUpdatePart).ConfigureAwait(false);
        _blocks.MakeRoom();
    }

    private static byte[] TableBytes(ulong[] table)
    {
        byte[] bytes = new byte[table.Length * sizeof(ulong)];
        for (int i = 0; i < table.Length; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(i * sizeof(ulong)), table[i]);
        }

        return bytes;
    }
}
