namespace Monitor.Block.Drivers.Qcow2;

/// <summary>What the stored bitmaps of a qcow2 image need of the image.</summary>
/// <remarks>All offsets are positions in the image file. Every method may throw <see cref="BlockIoException"/>.</remarks>
internal interface IQcow2BitmapHost
{
    /// <summary>The header's version, 2 or 3; only 3 keeps bitmaps.</summary>
    int Version { get; }

    /// <summary>Whether the image is open read-only (or inactive).</summary>
    bool IsReadOnly { get; }

    /// <summary>Bytes per cluster.</summary>
    int ClusterSize { get; }

    /// <summary>Bytes of the virtual disk.</summary>
    long VirtualSizeBytes { get; }

    /// <summary>Bytes of the image file, for range checks.</summary>
    long FileLengthBytes { get; }

    /// <summary>The bitmaps extension as the header has it now; null if it has none.</summary>
    Qcow2BitmapExtension? BitmapExtension { get; }

    /// <summary>Whether autoclear bit 0 is set: the extension may be trusted.</summary>
    bool BitmapsAutoclear { get; }

    /// <summary>
    /// Whether a range touches the header, the refcount table or blocks, the active L1 and L2 tables or the snapshot table.
    /// </summary>
    bool OverlapsMetadata(long hostOffset, long length);

    /// <summary>Allocates contiguous clusters, refcount 1; durable only after <see cref="FlushAsync"/>.</summary>
    /// <param name="count">Clusters, above 0.</param>
    /// <returns>The first one's offset.</returns>
    ValueTask<long> AllocateClustersAsync(long count);

    /// <summary>Gives contiguous clusters back.</summary>
    ValueTask FreeClustersAsync(long hostOffset, long count);

    /// <summary>Reads; bytes past the end of the file are zero.</summary>
    ValueTask ReadAsync(long hostOffset, Memory<byte> buffer);

    /// <summary>Writes.</summary>
    ValueTask WriteAsync(long hostOffset, ReadOnlyMemory<byte> buffer);

    /// <summary>Writes back the metadata caches in their order, refcounts included, then syncs the file.</summary>
    ValueTask FlushAsync();

    /// <summary>
    /// Replaces, adds or (null) removes the bitmaps extension by one write of the sector that holds its 24 bytes; syncs nothing.
    /// </summary>
    ValueTask WriteBitmapExtensionAsync(Qcow2BitmapExtension? extension);

    /// <summary>Sets or clears autoclear bit 0 by one write; syncs nothing.</summary>
    ValueTask SetBitmapsAutoclearAsync(bool value);
}
