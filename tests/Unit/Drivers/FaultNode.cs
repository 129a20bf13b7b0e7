using Monitor.Block;
using Monitor.Block.Drivers.Filters;

namespace Unit.Drivers;

/// <summary>A node between the driver under test and its medium that a test can make fail.</summary>
public sealed class FaultNode(string nodeName = "fault") : FilterNode(new BlockNodeSettings { NodeName = nodeName, DiscardUnmap = true })
{
    public override string DriverName => "fault";

    /// <summary>With what every request fails but a discard; 0 while they succeed.</summary>
    public int Errno { get; set; }

    /// <summary>Flushes that came and did not fail.</summary>
    public int Flushes { get; private set; }

    /// <summary>Writes that succeed before they all fail.</summary>
    public int WritesLeft { get; set; } = int.MaxValue;

    public override ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        FailIfAsked();
        return base.MapAsync(offset, length);
    }

    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        FailIfAsked();
        return base.DoReadAsync(offset, buffer);
    }

    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        FailIfAsked();
        if (WritesLeft-- <= 0)
        {
            throw new BlockIoException(Monitor.Block.Errno.EIO);
        }

        return base.DoWriteAsync(offset, buffer, flags);
    }

    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        FailIfAsked();
        return base.DoWriteZeroesAsync(offset, length, flags);
    }

    protected override ValueTask DoFlushAsync()
    {
        FailIfAsked();
        Flushes++;
        return base.DoFlushAsync();
    }

    private void FailIfAsked()
    {
        if (Errno != 0)
        {
            throw new BlockIoException(Errno);
        }
    }
}
