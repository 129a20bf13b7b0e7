namespace Monitor.Block;

/// <summary>What a node asks of a child by the child's role, when its driver has no rule of its own.</summary>
internal static class DefaultPermissions
{
    /// <summary>Used and shared permissions of an edge.</summary>
    /// <param name="role">The child's role.</param>
    /// <param name="used">What the parents of the node do with it.</param>
    /// <param name="shared">What they let others do with it.</param>
    /// <param name="writable">Whether the node itself may write.</param>
    public static (BlockPermission Used, BlockPermission Shared) For(
        BlockChildRole role, BlockPermission used, BlockPermission shared, bool writable) => role switch
        {
            _ when (role & BlockChildRole.CopyOnWrite) != 0 => ForBacking(used, shared),
            _ when (role & BlockChildRole.Metadata) != 0 => ForMetadata(used, shared, writable),
            _ when (role & BlockChildRole.Data) != 0 && (role & BlockChildRole.Filtered) == 0 => ForData(used, shared),
            _ => (used, shared),
        };

    /// <summary>A backing node is only read; it may change only if the parents above can live with that.</summary>
    private static (BlockPermission, BlockPermission) ForBacking(BlockPermission used, BlockPermission shared) =>
        (used & BlockPermission.ConsistentRead,
         ((shared & BlockPermission.Write) != 0 ? BlockPermission.Write | BlockPermission.Resize : BlockPermission.None)
             | BlockPermission.ConsistentRead | BlockPermission.WriteUnchanged);

    /// <summary>A format may touch its metadata at any time, and nobody else may.</summary>
    private static (BlockPermission, BlockPermission) ForMetadata(BlockPermission used, BlockPermission shared, bool writable) =>
        (used | BlockPermission.ConsistentRead | (writable ? BlockPermission.Write | BlockPermission.Resize : BlockPermission.None),
         (shared | BlockPermission.WriteUnchanged | BlockPermission.ConsistentRead) & ~(BlockPermission.Write | BlockPermission.Resize));

    private static (BlockPermission, BlockPermission) ForData(BlockPermission used, BlockPermission shared) =>
        ((used & BlockPermission.Write) != 0 ? used | BlockPermission.Resize : used,
         (shared | BlockPermission.WriteUnchanged) & ~BlockPermission.Resize);
}
