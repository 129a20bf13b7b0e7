namespace Monitor.Block.Drivers.Qcow2;

/// <summary>The entries of a table that name other tables, and which of those a check has looked at; found by their places too.</summary>
/// <remarks>Cost: 13 bytes an entry that is not empty. Example: entries 3 and 5 name cluster 9; a write to cluster 9 finds both left until they are taken.</remarks>
internal sealed class TableVisits
{
    private readonly long[] _clusters;
    private readonly int[] _sorted;
    private readonly bool[] _isTaken;
    private readonly int _clusterBits;

    /// <summary>Takes the entries in.</summary>
    /// <param name="table">The table; empty entries are passed over.</param>
    /// <param name="entries">How many of them, from the first, count.</param>
    /// <param name="offsetMask">Selects the place in an entry.</param>
    /// <param name="clusterBits">Log2 of the bytes of a cluster.</param>
    public TableVisits(ulong[] table, long entries, ulong offsetMask, int clusterBits)
    {
        int count = (int)Math.Min(table.Length, entries);
        Entries = new int[count - table.AsSpan(0, count).Count(0UL)];
        for (int entry = 0, at = 0; entry < count; entry++)
        {
            if (table[entry] != 0)
            {
                Entries[at++] = entry;
            }
        }

        _clusters = Array.ConvertAll(Entries, entry => (long)(table[entry] & offsetMask) >> clusterBits);
        _sorted = [.. Entries];
        Array.Sort(_clusters, _sorted);
        _isTaken = new bool[count];
        _clusterBits = clusterBits;
    }

    /// <summary>Numbers of the entries that are not empty, in their order.</summary>
    public int[] Entries { get; }

    /// <summary>Whether an entry's table has not been looked at.</summary>
    public bool IsLeft(int entry) => !_isTaken[entry];

    /// <summary>Takes note that an entry's table is being looked at.</summary>
    /// <returns>False if it was before.</returns>
    public bool TryTake(int entry)
    {
        bool isLeft = IsLeft(entry);
        _isTaken[entry] = true;
        return isLeft;
    }

    /// <summary>Entries whose tables lie in a range of the file and have not been looked at.</summary>
    public IEnumerable<int> LeftIn(long offset, long bytes)
    {
        for (int i = FirstFrom(offset >> _clusterBits); i < _clusters.Length && _clusters[i] << _clusterBits < offset + bytes; i++)
        {
            if (IsLeft(_sorted[i]))
            {
                yield return _sorted[i];
            }
        }
    }

    private int FirstFrom(long cluster)
    {
        (int from, int to) = (0, _clusters.Length);
        while (from < to)
        {
            int middle = (from + to) / 2;
            (from, to) = _clusters[middle] < cluster ? (middle + 1, to) : (from, middle);
        }

        return from;
    }
}
