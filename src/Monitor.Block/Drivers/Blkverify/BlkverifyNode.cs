using Monitor.Block.Drivers.Filters;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkverify;

/// <summary>Does everything on an image under test and on a raw one that is right, and fails where they answer differently (driver <c>blkverify</c>).</summary>
/// <remarks>QEMU ends itself at the first difference. A daemon with other disks to serve does not: the request fails with EIO and the log says where.</remarks>
public sealed class BlkverifyNode : FilterNode
{
    /// <summary>The name of the edge to the image under test.</summary>
    internal const string TestName = "test";

    /// <summary>Makes the node; its <c>raw</c> and <c>test</c> children are attached before it is opened.</summary>
    public BlkverifyNode(BlockNodeSettings settings)
        : base(settings)
    {
    }

    /// <inheritdoc/>
    public override string DriverName => "blkverify";

    /// <inheritdoc/>
    public override string FileName => IsPlain(Below) && IsPlain(Test) ? $"blkverify:{Below.FileName}:{Test.FileName}" : JsonFileName;

    /// <inheritdoc/>
    protected internal override bool IsProtocol => true;

    /// <inheritdoc/>
    public override string OptionsJson =>
        new OptionsText(DriverName).Add(TestName, Test.OptionsJson).Add("raw", Below.OptionsJson).ToString();

    /// <inheritdoc/>
    public override int RequestAlignment => Math.Max(Below.RequestAlignment, Test.RequestAlignment);

    private BlockNode Test => FindChild(BlockChildRole.Data)!.Node;

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        SetSize(Test.SizeBytes);
        return default;
    }

    /// <inheritdoc/>
    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        using IoBuffer right = IoBufferPool.Rent(Math.Max(buffer.Length, 1));
        Memory<byte> expected = right.Memory[..buffer.Length];
        await BothAsync(Test.ReadAsync(offset, buffer), Below.ReadAsync(offset, expected), offset, buffer.Length).ConfigureAwait(false);
        int equal = buffer.Span.CommonPrefixLength(expected.Span);
        if (equal < buffer.Length)
        {
            throw Mismatch(offset, buffer.Length, $"contents mismatch at offset {offset + equal}");
        }
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        BothAsync(Test.WriteAsync(offset, buffer, flags), Below.WriteAsync(offset, buffer, flags), offset, buffer.Length);

    /// <inheritdoc/>
    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        // What the test image may leave to chance the raw one would do otherwise: plain zeroes.
        BlockWriteFlags plain = flags & BlockWriteFlags.Fua;
        return BothAsync(Test.WriteZeroesAsync(offset, length, plain), Below.WriteZeroesAsync(offset, length, plain), offset, length);
    }

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) => default;

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => Test.FlushAsync();

    /// <inheritdoc/>
    protected override ValueTask DoTruncateAsync(long sizeBytes) =>
        throw new BlockIoException(Errno.ENOTSUP, "Image format driver does not support resize");

    private static bool IsPlain(BlockNode node) => node.FileName.Length > 0 && !node.FileName.StartsWith("json:", StringComparison.Ordinal);

    private async ValueTask BothAsync(ValueTask test, ValueTask raw, long offset, long length)
    {
        int tested = await ErrnoAsync(test).ConfigureAwait(false);
        int expected = await ErrnoAsync(raw).ConfigureAwait(false);
        if (tested != expected)
        {
            throw Mismatch(offset, length, $"return value mismatch {-tested} != {-expected}");
        }

        if (tested != 0)
        {
            throw new BlockIoException(tested);
        }
    }

    private static async ValueTask<int> ErrnoAsync(ValueTask work)
    {
        try
        {
            await work.ConfigureAwait(false);
            return 0;
        }
        catch (BlockIoException e)
        {
            return e.Errno;
        }
    }

    private BlockIoException Mismatch(long offset, long length, string what)
    {
        DaemonLog.Error("Block", $"blkverify {NodeName}: offset={offset} bytes={length} {what}");
        return new BlockIoException(Errno.EIO);
    }
}
