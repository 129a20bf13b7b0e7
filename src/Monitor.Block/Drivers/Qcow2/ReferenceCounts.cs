namespace Monitor.Block.Drivers.Qcow2;

/// <summary>How many references each host cluster has, and which are free to be taken; in memory, growing only where something is in use.</summary>
/// <remarks>
/// A cluster that was in use when the counts were loaded is never handed out, also when its last reference goes: until the new tables
/// are the image's, the old ones need it. Cost: four bytes a cluster, in pieces of 256, so that a few scattered references cost little.
/// </remarks>
/// <param name="isReserved">Says of a cluster without references that it must not be taken all the same.</param>
internal sealed class ReferenceCounts(Predicate<long> isReserved)
{
    /// <summary>The largest count; larger ones are no image's that could be stored.</summary>
    public const uint Maximum = InUseBefore - 1;

    private const uint InUseBefore = 1u << 31;
    private const int ChunkBits = 8;

    private readonly Dictionary<long, uint[]> _chunks = [];
    private (long Index, uint[] Counts) _recent = (-1, []);
    private long _freeHint;

    /// <summary>One more than the last cluster that has or had a reference.</summary>
    public long End { get; private set; }

    /// <summary>References of a cluster.</summary>
    public uint this[long cluster] => Find(cluster) is { } counts ? counts[Slot(cluster)] & Maximum : 0;

    /// <summary>Sets what a cluster has in the image as it is.</summary>
    public void Load(long cluster, uint count)
    {
        Make(cluster)[Slot(cluster)] = count | InUseBefore;
        End = Math.Max(End, cluster + 1);
    }

    /// <summary>Adds a reference to a cluster, which counts as in use from then on.</summary>
    /// <returns>False if it has <paramref name="maximum"/> already.</returns>
    public bool TryAdd(long cluster, ulong maximum)
    {
        uint now = this[cluster];
        if (now >= Math.Min(maximum, Maximum))
        {
            return false;
        }

        Load(cluster, now + 1);
        return true;
    }

    /// <summary>Clusters that were in use and have no reference left.</summary>
    public IEnumerable<ClusterRun> Freed()
    {
        foreach ((long index, uint[] counts) in _chunks)
        {
            for (int slot = 0; slot < counts.Length; slot++)
            {
                int first = slot;
                while (slot < counts.Length && counts[slot] == InUseBefore)
                {
                    slot++;
                }

                if (slot > first)
                {
                    yield return new ClusterRun((index << ChunkBits) + first, slot - first);
                }
            }
        }
    }

    /// <summary>Adds references; the cluster has some already.</summary>
    /// <returns>False if it has none, or would have more than <paramref name="maximum"/> or less than none.</returns>
    public bool TryChange(long cluster, int change, ulong maximum)
    {
        long now = this[cluster];
        if (now == 0 || (ulong)(now + change) > Math.Min(maximum, Maximum))
        {
            return false;
        }

        uint[] counts = Make(cluster);
        counts[Slot(cluster)] = (counts[Slot(cluster)] & InUseBefore) | (uint)(now + change);
        return true;
    }

    /// <summary>Takes free clusters that follow one another, the first such; each has one reference then.</summary>
    /// <returns>The first one's number.</returns>
    public long Take(long count)
    {
        long first = _freeHint;
        for (long free = 0; free < count;)
        {
            long next = first + free;
            bool isFree = (Find(next) is not { } counts || counts[Slot(next)] == 0) && !isReserved(next);
            (first, free) = isFree ? (first, free + 1) : (next + 1, 0);
        }

        for (long i = 0; i < count; i++)
        {
            Make(first + i)[Slot(first + i)] = 1;
        }

        _freeHint = count == 1 ? first + 1 : _freeHint;
        End = Math.Max(End, first + count);
        return first;
    }

    /// <summary>The clusters, in order, of the pieces in which either of two has something; a huge file with little in it has few.</summary>
    public static IEnumerable<long> Clusters(ReferenceCounts left, ReferenceCounts right)
    {
        foreach (long index in left._chunks.Keys.Union(right._chunks.Keys).Order())
        {
            for (long cluster = index << ChunkBits; cluster < (index + 1) << ChunkBits; cluster++)
            {
                yield return cluster;
            }
        }
    }

    /// <summary>The last cluster that has a reference, or -1.</summary>
    public long LastInUse
    {
        get
        {
            long cluster = End - 1;
            while (cluster >= 0 && this[cluster] == 0)
            {
                cluster--;
            }

            return cluster;
        }
    }

    /// <summary>Whether a range of clusters has a reference.</summary>
    public bool HasAny(long first, long count)
    {
        for (long cluster = first; cluster < Math.Min(first + count, End);)
        {
            if (Find(cluster) is null)
            {
                cluster = ((cluster >> ChunkBits) + 1) << ChunkBits;
                continue;
            }

            if (this[cluster++] != 0)
            {
                return true;
            }
        }

        return false;
    }

    private static int Slot(long cluster) => (int)cluster & ((1 << ChunkBits) - 1);

    private uint[]? Find(long cluster)
    {
        long index = cluster >> ChunkBits;
        if (_recent.Index == index)
        {
            return _recent.Counts;
        }

        if (!_chunks.TryGetValue(index, out uint[]? counts))
        {
            return null;
        }

        _recent = (index, counts);
        return counts;
    }

    private uint[] Make(long cluster)
    {
        if (Find(cluster) is { } there)
        {
            return there;
        }

        uint[] made = new uint[1 << ChunkBits];
        _chunks.Add(cluster >> ChunkBits, made);
        _recent = (cluster >> ChunkBits, made);
        return made;
    }
}
