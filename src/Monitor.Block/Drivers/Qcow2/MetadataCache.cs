using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Pieces of metadata tables in memory: found without a lock, changed under the allocation lock, written back when told.</summary>
/// <remarks>
/// <para>A piece is found by its index through two levels of arrays: two dependent loads, no hashing. The second level exists only where
/// pieces were, so a huge image costs as little as what is touched of it. Example: a 1 TiB image with 64 KiB clusters and pieces of
/// 4 KiB has 32,768 of them: 32 chunks of 1,024.</para>
/// <para>What is evicted is clean, unpinned and was not used since the hand (the clock algorithm) last came by. A reader that still
/// holds an evicted piece sees the entries as they were, which <see cref="GracePeriods"/> makes harmless.</para>
/// </remarks>
internal sealed class MetadataCache
{
    private const int ChunkBits = 10;

    private int _capacity;
    private readonly List<MetadataBlock> _blocks = [];
    private readonly List<MetadataBlock> _dirty = [];
    private MetadataBlock?[]?[] _chunks = [];
    private int _hand;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="blockBytes">Bytes of one piece.</param>
    /// <param name="capacityBytes">Bytes to keep; at least two pieces are.</param>
    public MetadataCache(int blockBytes, long capacityBytes)
    {
        BlockBytes = blockBytes;
        SetCapacity(capacityBytes);
    }

    /// <summary>Bytes of one piece.</summary>
    public int BlockBytes { get; }

    /// <summary>Pieces in memory.</summary>
    public int Count => _blocks.Count;

    /// <summary>Whether some piece differs from the image; from any thread.</summary>
    public bool HasDirty => Volatile.Read(ref _hasDirty);

    private bool _hasDirty;

    /// <summary>The piece, if it is here; from any thread.</summary>
    public MetadataBlock? Find(long index)
    {
        MetadataBlock?[]?[] chunks = Volatile.Read(ref _chunks);
        long chunk = index >> ChunkBits;
        if (chunk >= chunks.Length || Volatile.Read(ref chunks[chunk]) is not { } pieces)
        {
            return null;
        }

        MetadataBlock? block = Volatile.Read(ref pieces[index & ((1 << ChunkBits) - 1)]);
        if (block is { IsRecent: false })
        {
            block.IsRecent = true;
        }

        return block;
    }

    /// <summary>Changes how much is kept; what is too much goes as room is needed.</summary>
    /// <param name="capacityBytes">Bytes; at least two pieces are kept.</param>
    public void SetCapacity(long capacityBytes) => _capacity = (int)Math.Clamp(capacityBytes / BlockBytes, 2, int.MaxValue);

    /// <summary>Forgets the pieces that were not used since the last call; changed ones and those in use stay.</summary>
    /// <returns>Bytes that became free.</returns>
    public long DropUnused()
    {
        int before = _blocks.Count;
        for (int i = _blocks.Count - 1; i >= 0; i--)
        {
            MetadataBlock block = _blocks[i];
            if (block is { IsRecent: false, IsDirty: false, Pins: 0 })
            {
                Evict(i);
            }

            block.IsRecent = false;
        }

        return (long)(before - _blocks.Count) * BlockBytes;
    }

    /// <summary>Puts a piece in; there was room, or there could be none.</summary>
    public void Add(MetadataBlock block)
    {
        Slot(block.Index) = block;
        _blocks.Add(block);
    }

    /// <summary>Forgets a piece, changed or not.</summary>
    public void Remove(MetadataBlock block)
    {
        int at = _blocks.IndexOf(block);
        _blocks[at] = _blocks[^1];
        _blocks.RemoveAt(_blocks.Count - 1);
        Volatile.Write(ref Slot(block.Index), null);
        if (block.IsDirty)
        {
            _dirty.Remove(block);
            _hasDirty = _dirty.Count > 0;
        }
    }

    /// <summary>Evicts something if the cache is full.</summary>
    /// <returns>False if the changed pieces should be written back first.</returns>
    public bool MakeRoom()
    {
        if (_blocks.Count < _capacity)
        {
            return true;
        }

        if (_dirty.Count > _capacity / 4 * 3)
        {
            return false;
        }

        for (int steps = 2 * _blocks.Count; steps > 0; steps--)
        {
            _hand = _hand + 1 < _blocks.Count ? _hand + 1 : 0;
            MetadataBlock block = _blocks[_hand];
            if (block.IsDirty || block.Pins > 0)
            {
                continue;
            }

            if (!block.IsRecent)
            {
                Evict(_hand);
                if (_blocks.Count < _capacity)
                {
                    return true;
                }

                continue;
            }

            block.IsRecent = false;
        }

        return _dirty.Count == 0;
    }

    /// <summary>Takes note that a piece was changed.</summary>
    public void MarkDirty(MetadataBlock block)
    {
        if (!block.IsDirty)
        {
            block.IsDirty = true;
            _dirty.Add(block);
            Volatile.Write(ref _hasDirty, true);
        }
    }

    /// <summary>Writes all changed pieces in the order of their places; what could not be written stays changed.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="evt">What <c>blkdebug</c> calls each write.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask WriteDirtyAsync(ImageFile file, BlkdebugEvent evt)
    {
        _dirty.Sort(static (a, b) => b.HostOffset.CompareTo(a.HostOffset));
        while (_dirty.Count > 0)
        {
            MetadataBlock block = _dirty[^1];
            if (file.BeforeChange is { } look)
            {
                await look(block.HostOffset, BlockBytes).ConfigureAwait(false);
            }

            await file.WriteAsync(block.HostOffset, block.Bytes, evt).ConfigureAwait(false);
            block.IsDirty = false;
            _dirty.RemoveAt(_dirty.Count - 1);
        }

        Volatile.Write(ref _hasDirty, false);
    }

    private void Evict(int at)
    {
        Volatile.Write(ref Slot(_blocks[at].Index), null);
        _blocks[at] = _blocks[^1];
        _blocks.RemoveAt(_blocks.Count - 1);
    }

    private ref MetadataBlock? Slot(long index)
    {
        long chunk = index >> ChunkBits;
        if (chunk >= _chunks.Length)
        {
            var longer = new MetadataBlock?[]?[Math.Max(chunk + 1, 2 * _chunks.Length)];
            _chunks.CopyTo(longer, 0);
            Volatile.Write(ref _chunks, longer);
        }

        if (_chunks[chunk] is null)
        {
            Volatile.Write(ref _chunks[chunk], new MetadataBlock?[1 << ChunkBits]);
        }

        return ref _chunks[chunk]![index & ((1 << ChunkBits) - 1)];
    }
}
