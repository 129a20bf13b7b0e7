namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Which host clusters hold which of the image's own structures, so that damaged entries never lead a write into them.</summary>
/// <param name="clusterBits">Of the image.</param>
internal sealed class MetadataClusters(int clusterBits)
{
    public const string Header = "qcow2_header";
    public const string ActiveL1 = "active L1 table";
    public const string ActiveL2 = "active L2 table";
    public const string RefcountTable = "refcount table";
    public const string RefcountBlock = "refcount block";
    public const string SnapshotTable = "snapshot table";

    private readonly Dictionary<long, string> _owners = [];

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

        return null;
    }
}
