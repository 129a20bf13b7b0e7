using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Which structures are looked for before a write, by the option <c>overlap-check</c>.</summary>
/// <remarks>Where that costs nothing the structures are known anyway; the L2 tables of snapshots must be read for it.</remarks>
internal static class Qcow2OverlapSelection
{
    /// <summary>Works out what an option selects.</summary>
    /// <param name="option">The client's; <see langword="null"/> for <c>cached</c>.</param>
    /// <returns>Names of <see cref="MetadataClusters"/>.</returns>
    public static HashSet<string> From(Qcow2OverlapChecks? option)
    {
        Qcow2OverlapCheckFlags? flags = option?.Flags;
        Qcow2OverlapCheckMode mode = flags?.Template ?? option?.Mode ?? Qcow2OverlapCheckMode.Cached;
        bool constant = mode != Qcow2OverlapCheckMode.None;
        bool cached = constant && mode != Qcow2OverlapCheckMode.Constant;
        var selected = new HashSet<string>();
        Add(MetadataClusters.Header, flags?.MainHeader ?? constant);
        Add(MetadataClusters.ActiveL1, flags?.ActiveL1 ?? constant);
        Add(MetadataClusters.RefcountTable, flags?.RefcountTable ?? constant);
        Add(MetadataClusters.SnapshotTable, flags?.SnapshotTable ?? constant);
        Add(MetadataClusters.BitmapDirectory, flags?.BitmapDirectory ?? constant);
        Add(MetadataClusters.ActiveL2, flags?.ActiveL2 ?? cached);
        Add(MetadataClusters.RefcountBlock, flags?.RefcountBlock ?? cached);
        Add(MetadataClusters.InactiveL1, flags?.InactiveL1 ?? cached);
        Add(MetadataClusters.InactiveL2, flags?.InactiveL2 ?? mode == Qcow2OverlapCheckMode.All);
        return selected;

        void Add(string structure, bool isSelected)
        {
            if (isSelected)
            {
                selected.Add(structure);
            }
        }
    }
}
