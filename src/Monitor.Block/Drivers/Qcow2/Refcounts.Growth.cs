using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>How the refcount structures grow.</summary>
internal sealed partial class Refcounts
{
    private async ValueTask<MetadataBlock> BlockForAllocationAsync(long blockIndex)
    {
        if (await FindBlockAsync(blockIndex).ConfigureAwait(false) is { } block)
        {
            return block;
        }

        if (blockIndex >= TableEntries)
        {
            await GrowTableAsync(blockIndex).ConfigureAwait(false);
            return (await FindBlockAsync(blockIndex).ConfigureAwait(false))!;
        }

        return await AddBlockAsync(blockIndex, blockIndex << _blockBits, describesItself: true).ConfigureAwait(false);
    }

    private async ValueTask<MetadataBlock> AddBlockAsync(long blockIndex, long cluster, bool describesItself)
    {
        await CheckUnusedAsync(cluster, 1).ConfigureAwait(false);
        _ = Fresh(cluster, 1);
        await MakeRoomAsync().ConfigureAwait(false);
        var block = new MetadataBlock(blockIndex, cluster << _clusterBits, new byte[ClusterBytes]);
        if (describesItself)
        {
            _width.Write(block.Bytes, (int)(cluster & (EntriesPerBlock - 1)), 1);
        }

        // Written at once, so that the file reaches over it and it can be read again after an eviction.
        await _file.WriteAsync(block.HostOffset, block.Bytes, BlkdebugEvent.RefblockAllocWrite).ConfigureAwait(false);
        _blocks.Add(block);
        if (blockIndex >= _table.Length)
        {
            long sectors = (blockIndex / EntriesPerSector) + 1;
            Array.Resize(ref _table, (int)Math.Min(TableEntries, Math.Max(sectors * EntriesPerSector, 2L * _table.Length)));
        }

        _table[blockIndex] = (ulong)block.HostOffset;
        _tableDirty = true;
        _metadata.Add(block.HostOffset, ClusterBytes, MetadataClusters.RefcountBlock);
        return block;
    }

    /// <summary>Takes more clusters in one piece than a block describes: beyond everything described, followed by the new blocks.</summary>
    private async ValueTask<ClusterRun> AppendAsync(long count)
    {
        long firstBlock = Array.FindLastIndex(_table, static e => e != 0) + 1;
        long first = firstBlock << _blockBits;
        long blocks = BlocksFor(count);
        if (firstBlock + blocks > TableEntries)
        {
            await GrowTableAsync(firstBlock + blocks).ConfigureAwait(false);
            return await AppendAsync(count).ConfigureAwait(false);
        }

        await CheckUnusedAsync(first, count + blocks).ConfigureAwait(false);
        for (long i = 0; i < blocks; i++)
        {
            MetadataBlock block = await AddBlockAsync(firstBlock + i, first + count + i, describesItself: false).ConfigureAwait(false);
            FillOnes(block.Bytes, count + blocks - (i << _blockBits));
            _blocks.MarkDirty(block);
        }

        return Fresh(first, count);
    }

    /// <summary>Blocks that describe a region of <paramref name="clusters"/> clusters and themselves behind it.</summary>
    private long BlocksFor(long clusters)
    {
        long blocks = 1;
        while (blocks << _blockBits < clusters + blocks)
        {
            blocks++;
        }

        return blocks;
    }

    private void FillOnes(Span<byte> block, long count)
    {
        for (int i = 0; i < Math.Min(count, EntriesPerBlock); i++)
        {
            _width.Write(block, i, 1);
        }
    }

    /// <summary>Moves to a larger table that has an entry for block <paramref name="blockIndex"/>, laid out where that block's range begins.</summary>
    /// <remarks>New table and blocks are durable before the header points at them; the old table is freed after.</remarks>
    private async ValueTask GrowTableAsync(long blockIndex)
    {
        long entriesPerCluster = ClusterBytes / sizeof(ulong);
        long tableClusters = Math.Max(TableEntries * 3 / 2, blockIndex + 1) / entriesPerCluster + 1;
        long blocks = BlocksFor(tableClusters);
        while (tableClusters * entriesPerCluster < blockIndex + blocks)
        {
            tableClusters++;
            blocks = BlocksFor(tableClusters);
        }

        if (tableClusters << _clusterBits > Qcow2Format.MaximumRefcountTableBytes)
        {
            throw new BlockIoException(Errno.EFBIG);
        }

        long first = blockIndex << _blockBits;
        await CheckUnusedAsync(first, tableClusters + blocks).ConfigureAwait(false);
        _ = Fresh(first, tableClusters + blocks);
        ulong[] table = new ulong[tableClusters * entriesPerCluster];
        _table.CopyTo(table, 0);
        await WriteBackAsync().ConfigureAwait(false);
        await WriteNewBlocksAsync(table, blockIndex, first + tableClusters, blocks, tableClusters + blocks).ConfigureAwait(false);
        await _file.WriteAsync(first << _clusterBits, TableBytes(table), BlkdebugEvent.RefblockAllocWriteTable).ConfigureAwait(false);
        await _file.FlushAsync().ConfigureAwait(false);
        await SwitchTableAsync(table, first, tableClusters, blocks).ConfigureAwait(false);
    }

    private async ValueTask WriteNewBlocksAsync(ulong[] table, long blockIndex, long firstCluster, long blocks, long clusters)
    {
        byte[] content = new byte[ClusterBytes];
        for (long i = 0; i < blocks; i++)
        {
            content.AsSpan().Clear();
            FillOnes(content, clusters - (i << _blockBits));
            table[blockIndex + i] = (ulong)(firstCluster + i) << _clusterBits;
            await _file.WriteAsync((firstCluster + i) << _clusterBits, content, BlkdebugEvent.RefblockAllocWriteBlocks).ConfigureAwait(false);
        }
    }

    private async ValueTask SwitchTableAsync(ulong[] table, long first, long tableClusters, long blocks)
    {
        Qcow2Header header = _header.Header;
        (ulong oldOffset, uint oldClusters) = (header.RefcountTableOffset, header.RefcountTableClusters);
        (header.RefcountTableOffset, header.RefcountTableClusters) = ((ulong)first << _clusterBits, (uint)tableClusters);
        _file.Tell(BlkdebugEvent.RefblockAllocSwitchTable);
        await _header.SwitchAsync(_file).ConfigureAwait(false);
        _table = table;
        _tableDirty = false;
        _metadata.Remove((long)oldOffset, (long)oldClusters << _clusterBits);
        _metadata.Add(first << _clusterBits, tableClusters << _clusterBits, MetadataClusters.RefcountTable);
        _metadata.Add((first + tableClusters) << _clusterBits, blocks << _clusterBits, MetadataClusters.RefcountBlock);
        await DecreaseAsync(new ClusterRun((long)oldOffset >> _clusterBits, oldClusters)).ConfigureAwait(false);
    }
}
