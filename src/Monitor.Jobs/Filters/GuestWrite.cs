using Monitor.Block;

namespace Monitor.Jobs.Filters;

/// <summary>One write of a guest, to be made on more than one node.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Bytes">What to write; <see langword="null"/> for zeroes.</param>
/// <param name="Flags">As the guest gave them.</param>
internal readonly record struct GuestWrite(long Offset, long Length, ReadOnlyMemory<byte>? Bytes, BlockWriteFlags Flags)
{
    public ValueTask MakeAsync(BlockNode node) =>
        Bytes is { } bytes ? node.WriteAsync(Offset, bytes, Flags) : node.WriteZeroesAsync(Offset, Length, Flags);
}
