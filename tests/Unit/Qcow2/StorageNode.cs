using Monitor.Block;

namespace Unit.Qcow2;

/// <summary>A storage in memory that remembers which writes were flushed, may answer late, and may stop at any write or flush.</summary>
internal sealed class StorageNode : BlockNode
{
    private readonly Lock _gate = new();
    private readonly List<(long Offset, byte[] Bytes)> _unflushed = [];
    private readonly Random? _lateness;
    private readonly StorageContent _content;
    private StorageContent _durable;

    public StorageNode(StorageContent? content = null, int? latenessSeed = null, bool readOnly = false)
        : base(new BlockNodeSettings { NodeName = "storage", ReadOnly = readOnly, DiscardUnmap = true })
    {
        _content = content ?? new StorageContent();
        _durable = _content.Clone();
        _lateness = latenessSeed is { } seed ? new Random(seed) : null;
        SetSize(_content.Length);
    }

    public override string DriverName => "storage";

    /// <summary>The number of the write or flush at which the power fails; counted from 0.</summary>
    public int StopsAt { get; set; } = int.MaxValue;

    /// <summary>Writes and flushes so far.</summary>
    public int Operations { get; private set; }

    /// <summary>Flushes that fail although the power stays on.</summary>
    public bool FailsFlushes { get; set; }

    /// <summary>Fails writes while it answers true.</summary>
    public Func<long, bool>? FailsWrite { get; set; }

    /// <summary>The number of the one request (read, write or flush, counted from 0) that fails although the power stays on.</summary>
    public int FailsOnceAt { get; set; } = int.MaxValue;

    /// <summary>Requests so far.</summary>
    public int Requests { get; private set; }

    /// <summary>Whether the request that failed once was a flush.</summary>
    public bool HasFailedFlush { get; private set; }

    /// <summary>Reads begin when it completes.</summary>
    public Task ReadGate { get; set; } = Task.CompletedTask;

    public bool HasStopped { get; private set; }

    public byte[] Bytes => _content.ToArray();

    public StorageContent Content => _content;

    public override ValueTask OpenAsync() => default;

    public override ValueTask<BlockMapping> MapAsync(long offset, long length) =>
        new(new BlockMapping(BlockMappingKind.Data, length, null, new HostOffset(offset)));

    /// <summary>What is there after the power failed: each unflushed write wholly, partly (by sectors) or not at all.</summary>
    public StorageContent AfterPowerFailure(Random random)
    {
        StorageContent left = _durable.Clone();
        foreach ((long offset, byte[] bytes) in _unflushed)
        {
            int luck = random.Next(3);
            for (int at = 0; at < bytes.Length && luck > 0;)
            {
                int part = (int)Math.Min(bytes.Length - at, 512 - ((offset + at) % 512));
                if (luck == 1 || random.Next(2) == 0)
                {
                    left.Write(offset + at, bytes.AsSpan(at, part));
                }

                at += part;
            }
        }

        return left;
    }

    protected override async ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        await ReadGate;
        await BeLateAsync();
        lock (_gate)
        {
            FailIf(Requests++ == FailsOnceAt);
            _content.Read(offset, buffer.Span);
        }
    }

    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await BeLateAsync();
        lock (_gate)
        {
            bool stopsNow = Operations == StopsAt;
            Count();
            if (stopsNow)
            {
                _unflushed.Add((offset, buffer.ToArray()));
            }

            FailIf(HasStopped || Requests++ == FailsOnceAt || (FailsWrite?.Invoke(offset) ?? false));
            _content.Write(offset, buffer.Span);
            _unflushed.Add((offset, buffer.ToArray()));
        }

        GrowTo(offset + buffer.Length);
        await BeLateAsync();
    }

    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) =>
        await DoWriteAsync(offset, new byte[length], flags);

    protected override async ValueTask DoDiscardAsync(long offset, long length) =>
        await DoWriteAsync(offset, Enumerable.Repeat((byte)0xDD, (int)length).ToArray(), BlockWriteFlags.None);

    protected override async ValueTask DoFlushAsync()
    {
        await BeLateAsync();
        lock (_gate)
        {
            Count();
            HasFailedFlush |= Requests == FailsOnceAt;
            FailIf(HasStopped || Requests++ == FailsOnceAt || FailsFlushes);
            foreach ((long offset, byte[] bytes) in _unflushed)
            {
                _durable.Write(offset, bytes);
            }

            _unflushed.Clear();
        }
    }

    protected override ValueTask DoTruncateAsync(long sizeBytes)
    {
        _content.Truncate(sizeBytes);
        _durable = _content.Clone();
        return default;
    }

    private void Count() => HasStopped |= Operations++ == StopsAt;

    private static void FailIf(bool failing)
    {
        if (failing)
        {
            throw new BlockIoException(Errno.EIO);
        }
    }

    private void GrowTo(long length)
    {
        lock (_gate)
        {
            if (length > SizeBytes)
            {
                SetSize(length);
            }
        }
    }

    private async ValueTask BeLateAsync()
    {
        bool late = false;
        if (_lateness is not null)
        {
            lock (_gate)
            {
                late = _lateness.Next(3) == 0;
            }
        }

        if (late)
        {
            await Task.Yield();
        }
    }
}
