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
            _ when (role & BlockChildRole.Metadata) != 0 => ForData(ForMetadata((used, shared), writable), role),
            _ => ForData((used, shared), role),
        };

    /// <summary>A backing node is only read; it may change only if the parents above can live with that.</summary>
    private static (BlockPermission, BlockPermission) ForBacking(BlockPermission used, BlockPermission shared) =>
        (used & BlockPermission.ConsistentRead,
         ((shared & BlockPermission.Write) != 0 ? BlockPermission.Write | BlockPermission.Resize : BlockPermission.None)
             | BlockPermission.ConsistentRead | BlockPermission.WriteUnchanged);

    /// <summary>A format may touch its metadata at any time, and nobody else may.</summary>
    private static (BlockPermission Used, BlockPermission Shared) ForMetadata((BlockPermission Used, BlockPermission Shared) own, bool writable) =>
        (own.Used | BlockPermission.ConsistentRead | (writable ? BlockPermission.Write | BlockPermission.Resize : BlockPermission.None),
         (own.Shared | BlockPermission.WriteUnchanged | BlockPermission.ConsistentRead) & ~(BlockPermission.Write | BlockPermission.Resize));

    /// <summary>Where data lies elsewhere in the child than in the node, writing what does not change the node changes the child, and any write may make it longer.</summary>
    private static (BlockPermission Used, BlockPermission Shared) ForData((BlockPermission Used, BlockPermission Shared) own, BlockChildRole role)
    {
        if ((role & BlockChildRole.Data) == 0 || (role & BlockChildRole.Filtered) != 0)
        {
            return own;
        }

        bool writes = (own.Used & (BlockPermission.Write | BlockPermission.WriteUnchanged)) != 0;
        return (writes ? own.Used | BlockPermission.Write | BlockPermission.Resize : own.Used, (own.Shared | BlockPermission.WriteUnchanged) & ~BlockPermission.Resize);
    }
}
