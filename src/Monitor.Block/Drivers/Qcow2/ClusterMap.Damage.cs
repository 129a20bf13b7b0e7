namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What can be wrong with an L2 entry, in QEMU's words.</summary>
internal sealed partial class ClusterMap
{
    /// <summary>What is wrong with an entry whoever uses it, or <see langword="null"/>.</summary>
    /// <param name="slice">Holds it.</param>
    /// <param name="entry">Its number.</param>
    public string? FindDamage(MetadataBlock slice, int entry)
    {
        L2Entry value = _layout.Read(slice, entry);
        if (value == default)
        {
            return null;
        }

        bool hasPlace = value.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated;
        return _layout.IsContradictory(value) ? $"Invalid cluster entry found {Place(slice, entry)}"
            : value.Kind is L2EntryKind.ZeroPlain or L2EntryKind.ZeroAllocated && _image.Header.Header.Version < 3
                ? $"Zero cluster entry found in pre-v3 image {Place(slice, entry)}"
            : value.Kind == L2EntryKind.Compressed && _layout.HasDataFile
                ? $"Compressed cluster entry found in image with external data file {Place(slice, entry)}"
            : !hasPlace ? null
            : (value.HostOffset & (ClusterBytes - 1)) != 0 ? $"Cluster allocation offset {Qcow2Format.Hex(value.HostOffset)} unaligned {Place(slice, entry)}"
            : _layout.HasDataFile && value.HostOffset != GuestOffset(slice, entry) ? DescribeOtherPlace(slice, entry, value)
            : null;
    }

    /// <summary>The structure that a write to an entry's cluster would hit, or <see langword="null"/>.</summary>
    public string? FindOverlap(L2Entry entry) =>
        entry.Kind is L2EntryKind.Normal or L2EntryKind.ZeroAllocated && !_layout.HasDataFile ? _image.Clusters.FindForbidden(entry.HostOffset, ClusterBytes) : null;

    private string Place(MetadataBlock slice, int entry) =>
        $"(L2 offset: {Qcow2Format.Hex(slice.HostOffset & -ClusterBytes)}, L2 index: {Qcow2Format.Hex(IndexInTable(slice, entry))})";

    private string DescribeOtherPlace(MetadataBlock slice, int entry, L2Entry value) =>
        $"External data file host cluster offset {Qcow2Format.Hex(value.HostOffset)} does not match guest cluster offset: "
        + $"{Qcow2Format.Hex(GuestOffset(slice, entry))}, L2 index: {Qcow2Format.Hex(IndexInTable(slice, entry))})";

    private long IndexInTable(MetadataBlock slice, int entry) => (slice.Index % SlicesPerTable << _sliceBits) + entry;

    private long GuestOffset(MetadataBlock slice, int entry) => ((slice.Index << _sliceBits) + entry) << _clusterBits;

    private bool IsSuspect(MetadataBlock slice)
    {
        for (int i = 0; i < SliceEntries; i++)
        {
            if (FindDamage(slice, i) is not null || FindOverlap(_layout.Read(slice, i)) is not null)
            {
                return true;
            }
        }

        return false;
    }
}
