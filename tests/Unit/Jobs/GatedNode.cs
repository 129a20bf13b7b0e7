using System.Collections.Concurrent;
using Monitor.Block;

namespace Unit.Jobs;

/// <summary>A node whose bytes are an array; a test can hold its requests, make them fail, and say which parts are allocated.</summary>
internal sealed class GatedNode : BlockNode
{
    public const int AllocationUnit = 64 << 10;

    private readonly Lock _lock = new();
    private readonly bool[] _allocated;

    public GatedNode(string nodeName, int sizeBytes, bool isAllocated = true)
        : base(new BlockNodeSettings { NodeName = nodeName, DiscardUnmap = true })
    {
        Bytes = new byte[sizeBytes];
        _allocated = new bool[(sizeBytes + AllocationUnit - 1) / AllocationUnit];
        Array.Fill(_allocated, isAllocated);
        SetSize(sizeBytes);
    }

    public byte[] Bytes { get; }

    public override string DriverName => "gated";

    /// <summary>The next read whose range holds this offset waits at its gate.</summary>
    public ConcurrentDictionary<long, Gate> ReadGates { get; } = [];

    /// <summary>The next write whose range holds this offset waits at its gate.</summary>
    public ConcurrentDictionary<long, Gate> WriteGates { get; } = [];

    /// <summary>Asked before each read (true) and write (false): an errno to fail with, or 0.</summary>
    public Func<bool, long, long, int> Fail { get; set; } = (_, _, _) => 0;

    /// <summary>Asked at each look at the map: an errno to fail with, or 0.</summary>
    public Func<long, int> FailMap { get; set; } = _ => 0;

    /// <summary>What closing waits for.</summary>
    public Task Closing { get; set; } = Task.CompletedTask;

    /// <summary>Lets requests complete later, on other threads.</summary>
    public bool IsAsynchronous { get; set; }

    public int WritesSeen;

    public int ZeroWritesSeen;

    public int FlushesSeen;

    public Gate HoldRead(long offset) => ReadGates[offset] = new Gate();

    public Gate HoldWrite(long offset) => WriteGates[offset] = new Gate();

    public void Fill(Random random)
    {
        random.NextBytes(Bytes);
        for (int i = 0; i < _allocated.Length; i++)
        {
            if (!_allocated[i])
            {
                Bytes.AsSpan(i * AllocationUnit, Math.Min(AllocationUnit, Bytes.Length - (i * AllocationUnit))).Clear();
            }
        }
    }

    public byte[] Snapshot()
    {
        lock (_lock)
        {
            return [.. Bytes];
        }
    }

    public override ValueTask CloseAsync() => new(Closing);

    public override ValueTask OpenAsync() => default;

    public override ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        if (FailMap(offset) is not 0 and var errno)
        {
            throw new BlockIoException(errno);
        }

        lock (_lock)
        {
            bool allocated = _allocated[offset / AllocationUnit];
            long end = offset;
            while (end < offset + length && _allocated[end / AllocationUnit] == allocated)
            {
                end = ((end / AllocationUnit) + 1) * AllocationUnit;
            }

            BlockMappingKind kind = allocated ? BlockMappingKind.Data : Backing is null ? BlockMappingKind.Zero : BlockMappingKind.Backing;
            return new(new BlockMapping(kind, Math.Min(end, offset + length) - offset));
        }
    }

    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        await EnterAsync(isRead: true, offset, buffer.Length).ConfigureAwait(false);
        lock (_lock)
        {
            Bytes.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
        }
    }

    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await EnterAsync(isRead: false, offset, buffer.Length).ConfigureAwait(false);
        Interlocked.Increment(ref WritesSeen);
        lock (_lock)
        {
            buffer.Span.CopyTo(Bytes.AsSpan((int)offset));
            SetAllocated(offset, buffer.Length);
        }
    }

    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await EnterAsync(isRead: false, offset, length).ConfigureAwait(false);
        Interlocked.Increment(ref ZeroWritesSeen);
        lock (_lock)
        {
            Bytes.AsSpan((int)offset, (int)length).Clear();
            SetAllocated(offset, length);
        }
    }

    protected override ValueTask DoDiscardAsync(long offset, long length) => DoWriteZeroesAsync(offset, length, BlockWriteFlags.None);

    protected override ValueTask DoFlushAsync()
    {
        Interlocked.Increment(ref FlushesSeen);
        return default;
    }

    private static Gate? Take(ConcurrentDictionary<long, Gate> gates, long offset, long length)
    {
        foreach (long key in gates.Keys)
        {
            if (key >= offset && key < offset + length && gates.TryRemove(key, out Gate? gate))
            {
                return gate;
            }
        }

        return null;
    }

    private async ValueTask EnterAsync(bool isRead, long offset, long length)
    {
        if (Take(isRead ? ReadGates : WriteGates, offset, length) is { } gate)
        {
            await gate.PassAsync().ConfigureAwait(false);
        }
        else if (IsAsynchronous)
        {
            await Task.Yield();
        }

        int errno = Fail(isRead, offset, length);
        if (errno != 0)
        {
            throw new BlockIoException(errno);
        }
    }

    private void SetAllocated(long offset, long length)
    {
        for (long i = offset / AllocationUnit; i <= (offset + length - 1) / AllocationUnit; i++)
        {
            _allocated[i] = true;
        }
    }
}
