namespace Monitor.Block.Drivers.Qcow2;

/// <summary>Contiguous clusters of the image file.</summary>
/// <param name="Offset">The first one's offset.</param>
/// <param name="Count">How many.</param>
internal readonly record struct Qcow2ClusterRun(long Offset, long Count);
