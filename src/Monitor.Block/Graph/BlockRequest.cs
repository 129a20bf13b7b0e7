namespace Monitor.Block;

/// <summary>A request at a door, kept so that it can be done again.</summary>
/// <param name="Kind">How it is counted.</param>
/// <param name="IsZeroes">Whether a write is of zeroes.</param>
/// <param name="Offset">Where it begins, in bytes.</param>
/// <param name="Length">Its bytes; 0 for a flush.</param>
/// <param name="Target">What a read fills.</param>
/// <param name="Source">What a write takes.</param>
/// <param name="Flags">Those of a write.</param>
internal readonly record struct BlockRequest(
    BlockRequestKind Kind, bool IsZeroes, long Offset, long Length, Memory<byte> Target, ReadOnlyMemory<byte> Source, BlockWriteFlags Flags)
{
    public static BlockRequest Flush => new(BlockRequestKind.Flush, false, 0, 0, default, default, BlockWriteFlags.None);

    public static BlockRequest Read(long offset, Memory<byte> target) =>
        new(BlockRequestKind.Read, false, offset, target.Length, target, default, BlockWriteFlags.None);

    public static BlockRequest Write(long offset, ReadOnlyMemory<byte> source, BlockWriteFlags flags) =>
        new(BlockRequestKind.Write, false, offset, source.Length, default, source, flags);

    public static BlockRequest WriteZeroes(long offset, long length, BlockWriteFlags flags) =>
        new(BlockRequestKind.Write, true, offset, length, default, default, flags);

    public static BlockRequest Discard(long offset, long length) =>
        new(BlockRequestKind.Unmap, false, offset, length, default, default, BlockWriteFlags.None);
}
