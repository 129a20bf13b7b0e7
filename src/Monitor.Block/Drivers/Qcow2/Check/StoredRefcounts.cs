using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The refcounts that an image had when its check began, of the clusters that its file had then; read block by block.</summary>
internal sealed class StoredRefcounts
{
    private const ulong Reserved = 0x1FF;

    private readonly ImageFile _file;
    private readonly ulong[] _table;
    private readonly RefcountWidth _width;
    private readonly int _clusterBits;
    private readonly HashSet<long> _unreadable = [];

    /// <summary>Prepares reading.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="header">The image's header.</param>
    /// <param name="table">The refcount table.</param>
    public StoredRefcounts(ImageFile file, Qcow2Header header, ulong[] table)
    {
        (_file, _table, _clusterBits) = (file, table, (int)header.ClusterBits);
        _width = new RefcountWidth((int)header.RefcountOrder);
        FileClusters = (file.SizeBytes + (1 << _clusterBits) - 1) >> _clusterBits;
        Blocks = new TableVisits(table, (FileClusters / PerBlock) + 1, ~Reserved, _clusterBits);
    }

    /// <summary>The blocks; one is read as soon as it is taken.</summary>
    public TableVisits Blocks { get; }

    /// <summary>Clusters of the file.</summary>
    public long FileClusters { get; }

    /// <summary>The refcounts of the blocks that were read.</summary>
    public ReferenceCounts Counts { get; } = new(_ => false);

    /// <summary>What could not be looked at.</summary>
    public ImageCheckFindings Findings { get; } = new();

    /// <summary>Whether some refcounts cannot be known.</summary>
    public bool HasUnreadable => _unreadable.Count > 0;

    private long PerBlock => _width.EntriesIn(1 << _clusterBits);

    /// <summary>The refcount of a cluster; null if it cannot be known.</summary>
    public ulong? Find(long cluster) => _unreadable.Contains(cluster / PerBlock) ? null : Counts[cluster];

    /// <summary>Where a block is.</summary>
    public long PlaceOf(int block) => (long)(_table[block] & ~Reserved);

    /// <summary>Whether a block can be where the table says.</summary>
    public bool IsReadable(int block) => PlaceOf(block) is > 0 and var place && (place & ((1 << _clusterBits) - 1)) == 0;

    /// <summary>Takes a block's refcounts in.</summary>
    /// <param name="index">Its number.</param>
    /// <param name="content">What its place holds, if it can be read.</param>
    public void Load(int index, ReadOnlySpan<byte> content)
    {
        if (PlaceOf(index) == 0)
        {
            return;
        }

        if (!IsReadable(index))
        {
            _unreadable.Add(index);
            Findings.AddCheckError($"Can't get refcount for cluster {index * PerBlock}: {Errno.Describe(Errno.EIO)}");
            return;
        }

        for (int i = 0; i < PerBlock && (index * PerBlock) + i <= FileClusters; i++)
        {
            if (_width.Read(content, i) is not 0 and ulong count)
            {
                Counts.Load((index * PerBlock) + i, (uint)Math.Min(count, ReferenceCounts.Maximum));
            }
        }
    }

    /// <summary>Reads the blocks that describe an L2 table and the clusters that it names, if they were not taken yet.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask LoadForAsync(L2Layout layout, long place, ReadOnlyMemory<byte> table)
    {
        await LoadForAsync(place).ConfigureAwait(false);
        for (int i = 0; i < table.Length >> layout.EntryBits && !layout.HasDataFile; i++)
        {
            L2Entry entry = layout.Read(table.Span, i);
            if (entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated)
            {
                await LoadForAsync(entry.HostOffset).ConfigureAwait(false);
            }
        }
    }

    private ValueTask LoadForAsync(long place)
    {
        long block = (place >> _clusterBits) / PerBlock;
        return block <= FileClusters / PerBlock && block < _table.Length ? LoadAsync((int)block) : default;
    }

    /// <summary>Reads a block, if it was not taken yet.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask LoadAsync(int block)
    {
        if (!Blocks.TryTake(block))
        {
            return;
        }

        byte[] content = new byte[1 << _clusterBits];
        if (IsReadable(block))
        {
            await _file.ReadAsync(PlaceOf(block), content, BlkdebugEvent.RefblockLoad).ConfigureAwait(false);
        }

        Load(block, content);
    }
}
