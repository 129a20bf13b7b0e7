using Monitor.Block;
using Monitor.Block.Drivers.Filters;

namespace Unit.Storage;

/// <summary>A filter in which requests stay as long as the test wants.</summary>
internal sealed class HeldNode(string nodeName, RequestHold hold) : FilterNode(new BlockNodeSettings { NodeName = nodeName, DiscardUnmap = true })
{
    public override string DriverName => "held";

    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        await hold.PassAsync();
        await base.DoReadAsync(offset, buffer);
    }

    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await hold.PassAsync();
        await base.DoWriteAsync(offset, buffer, flags);
    }

    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await hold.PassAsync();
        await base.DoWriteZeroesAsync(offset, length, flags);
    }

    protected override async ValueTask DoFlushAsync()
    {
        await hold.PassAsync();
        await base.DoFlushAsync();
    }
}
