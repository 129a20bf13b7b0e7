using Monitor.Block;
using Monitor.Block.Drivers.Filters;

namespace Interop.Qcow2.Model;

/// <summary>Shows a file that answers late now and then, so that requests overtake each other; closes it too.</summary>
internal sealed class LateNode : FilterNode
{
    private readonly Lock _gate = new();
    private readonly Random _random;

    public LateNode(BlockNode file, int seed)
        : base(new BlockNodeSettings { NodeName = "late", DiscardUnmap = true })
    {
        _random = new Random(seed);
        ImageFiles.Attach(this, file, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
    }

    public override string DriverName => "late";

    public override ValueTask CloseAsync() => Below.CloseAsync();

    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        await BeLateAsync();
        await base.DoReadAsync(offset, buffer);
        await BeLateAsync();
    }

    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await BeLateAsync();
        await base.DoWriteAsync(offset, buffer, flags);
        await BeLateAsync();
    }

    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await BeLateAsync();
        await base.DoWriteZeroesAsync(offset, length, flags);
    }

    protected override async ValueTask DoFlushAsync()
    {
        await BeLateAsync();
        await base.DoFlushAsync();
    }

    private async ValueTask BeLateAsync()
    {
        int yields;
        lock (_gate)
        {
            yields = Math.Max(0, _random.Next(6) - 2);
        }

        for (; yields > 0; yields--)
        {
            await Task.Yield();
        }
    }
}
