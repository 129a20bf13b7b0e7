using Monitor.Block;

namespace Unit.Nbd;

/// <summary>A disk in memory whose requests can be made to wait or fail, and which knows holes in units of 64 KiB.</summary>
public sealed class MemoryNode : BlockNode
{
    public const int HoleBytes = 65536;

    private readonly byte[] _bytes;
    private readonly bool[] _allocated;
    private volatile TaskCompletionSource? _gate;

    public MemoryNode(int sizeBytes, bool readOnly = false)
        : base(new BlockNodeSettings { NodeName = "memory", ReadOnly = readOnly, DiscardUnmap = true })
    {
        _bytes = new byte[sizeBytes];
        _allocated = new bool[(sizeBytes + HoleBytes - 1) / HoleBytes];
        SetSize(sizeBytes);
    }

    public override string DriverName => "memory";

    public override int RequestAlignment => Alignment;

    /// <summary>What requests must be multiples of.</summary>
    public int Alignment { get; set; } = 1;

    /// <summary>Requests that are waiting at the gate.</summary>
    public int Waiting => _waiting;

    /// <summary>Fails every request with this errno.</summary>
    public int Errno { get; set; }

    public BlockWriteFlags LastFlags { get; private set; }

    public int Flushes => _flushes;

    public Span<byte> Bytes => _bytes;

    private int _waiting;
    private int _flushes;

    /// <summary>From now on requests wait.</summary>
    public void CloseGate() => _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Lets them go.</summary>
    public void OpenGate()
    {
        TaskCompletionSource gate = _gate!;
        _gate = null;
        gate.SetResult();
    }

    public override ValueTask OpenAsync() => default;

    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        await PassAsync().ConfigureAwait(false);
        bool data = _allocated[offset / HoleBytes];
        long end = offset;
        while (end < offset + length && _allocated[end / HoleBytes] == data)
        {
            end = Math.Min(offset + length, (end / HoleBytes * HoleBytes) + HoleBytes);
        }

        return new BlockMapping(data ? BlockMappingKind.Data : BlockMappingKind.Zero, end - offset, null, new HostOffset(offset));
    }

    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) =>
        PassThenAsync(() => _bytes.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span));

    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) => PassThenAsync(() =>
    {
        LastFlags = flags;
        buffer.Span.CopyTo(_bytes.AsSpan((int)offset));
        SetAllocated(offset, buffer.Length, true);
    });

    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) => PassThenAsync(() =>
    {
        LastFlags = flags;
        if ((flags & BlockWriteFlags.NoFallback) != 0 && offset % HoleBytes != 0)
        {
            throw new BlockIoException(Monitor.Block.Errno.ENOTSUP);
        }

        _bytes.AsSpan((int)offset, (int)length).Clear();
    });

    protected override ValueTask DoDiscardAsync(long offset, long length) => PassThenAsync(() =>
    {
        _bytes.AsSpan((int)offset, (int)length).Clear();
        long start = (offset + HoleBytes - 1) / HoleBytes * HoleBytes;
        long end = (offset + length) / HoleBytes * HoleBytes;
        if (end > start)
        {
            SetAllocated(start, end - start, false);
        }
    });

    protected override ValueTask DoFlushAsync() => PassThenAsync(() => Interlocked.Increment(ref _flushes));

    private void SetAllocated(long offset, long length, bool allocated)
    {
        for (long unit = offset / HoleBytes; unit <= (offset + length - 1) / HoleBytes; unit++)
        {
            _allocated[unit] = allocated;
        }
    }

    private ValueTask PassThenAsync(Action work)
    {
        if (_gate is null && Errno == 0)
        {
            work();
            return default;
        }

        return PassThenSlowlyAsync(work);
    }

    private async ValueTask PassThenSlowlyAsync(Action work)
    {
        await PassAsync().ConfigureAwait(false);
        work();
    }

    private async ValueTask PassAsync()
    {
        if (_gate is { } gate)
        {
            Interlocked.Increment(ref _waiting);
            await gate.Task.ConfigureAwait(false);
            Interlocked.Decrement(ref _waiting);
        }

        if (Errno != 0)
        {
            throw new BlockIoException(Errno);
        }
    }
}
