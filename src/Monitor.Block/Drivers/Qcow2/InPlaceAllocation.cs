namespace Monitor.Block.Drivers.Qcow2;

/// <summary>No room was needed: the write goes where the bytes live already.</summary>
internal sealed class InPlaceAllocation : ClusterAllocation
{
    /// <inheritdoc/>
    public override ValueTask LinkAsync() => default;

    /// <inheritdoc/>
    public override ValueTask AbandonAsync() => default;
}
