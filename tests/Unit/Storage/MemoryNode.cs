using Monitor.Block;

namespace Unit.Storage;

/// <summary>A node whose bytes are an array.</summary>
internal sealed class MemoryNode : BlockNode
{
    private readonly byte[] _bytes;

    public MemoryNode(string nodeName, int sizeBytes)
        : base(new BlockNodeSettings { NodeName = nodeName })
    {
        _bytes = new byte[sizeBytes];
        SetSize(sizeBytes);
    }

    public override string DriverName => "memory";

    public override ValueTask OpenAsync() => default;

    public override ValueTask<BlockMapping> MapAsync(long offset, long length) => new(new BlockMapping(BlockMappingKind.Data, length));

    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        _bytes.AsMemory((int)offset, buffer.Length).CopyTo(buffer);
        return default;
    }

    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        buffer.CopyTo(_bytes.AsMemory((int)offset));
        return default;
    }

    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        _bytes.AsSpan((int)offset, (int)length).Clear();
        return default;
    }

    protected override ValueTask DoDiscardAsync(long offset, long length) => default;

    protected override ValueTask DoFlushAsync() => default;
}
