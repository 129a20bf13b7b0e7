using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Which discards reach the file below, and whether a discarded cluster stays the entry's own.</summary>
/// <param name="Request">The guest's do.</param>
/// <param name="Snapshot">Those of what a deleted snapshot leaves do.</param>
/// <param name="Other">Those of the image's own structures do.</param>
/// <param name="KeepsClusters">A discarded cluster keeps its place in the file, which is given back all the same: no fragmentation.</param>
internal readonly record struct Qcow2DiscardPolicy(bool Request, bool Snapshot, bool Other, bool KeepsClusters)
{
    /// <summary>What the options say; the guest's discards go down by default if the node takes any.</summary>
    public static Qcow2DiscardPolicy From(BlockdevOptionsQcow2? options, bool discardUnmap) => new(
        options?.PassDiscardRequest ?? discardUnmap,
        options?.PassDiscardSnapshot ?? true,
        options?.PassDiscardOther ?? false,
        options?.DiscardNoUnref ?? false);

    /// <summary>Whether discards for a reason reach the file below.</summary>
    public bool Passes(Qcow2Discard reason) => reason switch
    {
        Qcow2Discard.Always => true,
        Qcow2Discard.Request => Request,
        Qcow2Discard.Snapshot => Snapshot,
        Qcow2Discard.Other => Other,
        _ => false,
    };
}
