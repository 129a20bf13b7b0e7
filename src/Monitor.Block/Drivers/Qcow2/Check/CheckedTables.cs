namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What a check begins with: the tables that are in memory, as they are on disk at that moment.</summary>
/// <param name="L1">The active L1 table; a repair makes it the new one.</param>
/// <param name="Refcounts">The refcount table.</param>
/// <param name="Snapshots">The snapshots.</param>
/// <param name="SnapshotTableBytes">Bytes of their table.</param>
internal sealed record CheckedTables(ulong[] L1, ulong[] Refcounts, IReadOnlyList<Qcow2Snapshot> Snapshots, long SnapshotTableBytes);
