namespace Monitor.Block.Drivers.Qcow2;

/// <summary>New clusters for a write, from their allocation until the L2 entries point at them.</summary>
/// <param name="node">The image.</param>
/// <param name="claim">The guest clusters.</param>
/// <param name="run">The host clusters.</param>
/// <param name="isKept">The clusters are the entries' own already, or of a data file, so giving them back frees nothing.</param>
internal sealed class Qcow2Allocation(Qcow2Node node, GuestClusterClaim claim, ClusterRun run, bool isKept) : ClusterAllocation
{
    /// <summary>The first unit of the first cluster that holds data once this is linked.</summary>
    public required int FirstUnit { get; init; }

    /// <summary>Behind the last such unit, counted from the first cluster's start.</summary>
    public required int EndUnit { get; init; }

    public GuestClusterClaim Claim { get; } = claim;

    public ClusterRun Run { get; } = run;

    public bool IsKept { get; } = isKept;

    /// <inheritdoc/>
    public override ValueTask LinkAsync() => node.LinkAsync(this);

    /// <inheritdoc/>
    public override ValueTask AbandonAsync() => node.AbandonAsync(this);
}
