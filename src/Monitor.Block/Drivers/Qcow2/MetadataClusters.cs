namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Which host clusters hold which of the image's own structures, so that damaged entries never lead a write into them.</summary>
/// <remarks>
/// Structures that come and go are kept by cluster. The L1 tables of snapshots, which may be many and large in a bad image, are kept as
/// ranges, merged and sorted: a look-up costs a binary search.
/// </remarks>
/// <param name="clusterBits">Of the image.</param>
/// <param name="isChecked">Says of a kind of structure whether writes that would hit it are looked for (<c>overlap-check</c>).</param>
internal sealed class MetadataClusters(int clusterBits, Predicate<string> isChecked)
{
    public const string Header = "qcow2_header";
    public const string ActiveL1 = "active L1 table";
    public const string ActiveL2 = "active L2 table";
    public const string RefcountTable = "refcount table";
    public const string RefcountBlock = "refcount block";
    public const string SnapshotTable = "snapshot table";
    public const string InactiveL1 = "inactive L1 table";
    public const string InactiveL2 = "inactive L2 table";
    public const string BitmapDirectory = "bitmap directory";

    private readonly Dictionary<long, string> _owners = [];
    private readonly List<(long From, long To)> _inactiveL1 = [];
    private readonly HashSet<long> _inactiveL2 = [];

    /// <summary>Takes note of a structure.</summary>
    /// <param name="hostOffset">Its first byte.</param>
    /// <param name="bytes">Its length.</param>
    /// <param name="owner">One of this type's names.</param>
    public void Add(long hostOffset, long bytes, string owner)
    {
        for (long cluster = hostOffset >> clusterBits; cluster << clusterBits < hostOffset + bytes; cluster++)
        {
            _owners.TryAdd(cluster, owner);
        }
    }

    /// <summary>Takes note of the snapshots' L1 tables; called once.</summary>
    public void AddInactiveL1(IReadOnlyList<Qcow2Snapshot> snapshots)
    {
        foreach (Qcow2Snapshot snapshot in snapshots.OrderBy(snapshot => snapshot.L1Offset & Qcow2Format.OffsetMask))
        {
            long from = (long)(snapshot.L1Offset & Qcow2Format.OffsetMask);
            long to = from + Math.Min(snapshot.L1Entries * (long)sizeof(ulong), Qcow2Format.MaximumL1Bytes);
            if (_inactiveL1.Count > 0 && _inactiveL1[^1].To >= from)
            {
                _inactiveL1[^1] = (_inactiveL1[^1].From, Math.Max(_inactiveL1[^1].To, to));
            }
            else
            {
                _inactiveL1.Add((from, to));
            }
        }
    }

    /// <summary>Forgets a structure that has moved.</summary>
    public void Remove(long hostOffset, long bytes)
    {
        for (long cluster = hostOffset >> clusterBits; cluster << clusterBits < hostOffset + bytes; cluster++)
        {
            _owners.Remove(cluster);
        }
    }

    /// <summary>The structure that a range touches, or <see langword="null"/>.</summary>
    public string? FindOverlap(long hostOffset, long bytes)
    {
        for (long cluster = hostOffset >> clusterBits; cluster << clusterBits < hostOffset + bytes; cluster++)
        {
            if (_owners.TryGetValue(cluster, out string? owner))
            {
                return owner;
            }
        }

        return TouchesInactiveL1(hostOffset >> clusterBits << clusterBits, hostOffset + bytes) ? InactiveL1 : null;
    }

    /// <summary>Where the bitmap directory is; its own code looks for overlaps with everything else.</summary>
    public (long Offset, long Bytes) BitmapDirectoryPlace { get; set; }

    /// <summary>Takes note of an L2 table of a snapshot, unless the active L1 table shares it.</summary>
    public void AddInactiveL2(long hostOffset) => _inactiveL2.Add(hostOffset >> clusterBits);

    /// <summary>The structure that a write of guest data would hit and that is to be looked for, or <see langword="null"/>.</summary>
    public string? FindForbidden(long hostOffset, long bytes)
    {
        (long directory, long directoryBytes) = BitmapDirectoryPlace;
        string? owner = FindOverlap(hostOffset, bytes)
            ?? (directory < hostOffset + bytes && hostOffset < directory + directoryBytes ? BitmapDirectory : null)
            ?? (_inactiveL2.Contains(hostOffset >> clusterBits) ? InactiveL2 : null);
        return owner is not null && isChecked(owner) ? owner : null;
    }

    private bool TouchesInactiveL1(long from, long to)
    {
        (int low, int high) = (0, _inactiveL1.Count);
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _inactiveL1[middle].To <= from ? (middle + 1, high) : (low, middle);
        }

        return low < _inactiveL1.Count && _inactiveL1[low].From < to;
    }
}
