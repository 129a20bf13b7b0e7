using Monitor.Block;
using Monitor.Qapi;

namespace Unit.Qcow2;

/// <summary>A storage in memory that remembers which writes were flushed, may answer late, and may stop at any write or flush.</summary>
internal sealed class StorageNode : BlockNode
{
    private readonly Lock _gate = new();
    private readonly List<StorageChange> _unflushed = [];
    private readonly Random? _lateness;
    private readonly StorageContent _content;
    private readonly StorageContent _durable;

    public StorageNode(StorageContent? content = null, int? latenessSeed = null, bool readOnly = false)
        : base(new BlockNodeSettings { NodeName = "storage", ReadOnly = readOnly, DiscardUnmap = true })
    {
        _content = content ?? new StorageContent();
        _durable = _content.Clone();
        _lateness = latenessSeed is { } seed ? new Random(seed) : null;
        SetSize(_content.Length);
    }

    public override string DriverName => "storage";

    /// <summary>May be shared with other storages.</summary>
    public PowerSupply Power { get; init; } = new();

    /// <summary>The number of the write, truncation or flush at which the power fails; counted from 0.</summary>
    public int StopsAt
    {
        get => Power.StopsAt;
        set => Power.StopsAt = value;
    }

    /// <summary>Flushes that fail although the power stays on.</summary>
    public bool FailsFlushes { get; set; }

    /// <summary>Fails writes while it answers true.</summary>
    public Func<long, bool>? FailsWrite { get; set; }

    /// <summary>The number of the one request (read, write, truncation or flush, counted from 0) that fails although the power stays on.</summary>
    public int FailsOnceAt { get; set; } = int.MaxValue;

    /// <summary>Requests so far.</summary>
    public int Requests { get; private set; }

    /// <summary>Whether the request that failed once was a flush.</summary>
    public bool HasFailedFlush { get; private set; }

    /// <summary>Reads begin when it completes.</summary>
    public Task ReadGate { get; set; } = Task.CompletedTask;

    public bool HasStopped => Power.HasStopped;

    public byte[] Bytes => _content.ToArray();

    public StorageContent Content => _content;

    public override ValueTask OpenAsync() => default;

    public override ValueTask<BlockMapping> MapAsync(long offset, long length) =>
        new(new BlockMapping(BlockMappingKind.Data, length, null, new HostOffset(offset)));

    /// <summary>What is there after the power failed: each unflushed write wholly, partly (by sectors) or not at all.</summary>
    public StorageContent AfterPowerFailure(Random random)
    {
        StorageContent left = _durable.Clone();
        _unflushed.ForEach(change => change.ApplyPartlyTo(left, random));
        return left;
    }

    public override ValueTask PreallocateAsync(long offset, long length, PreallocMode mode) =>
        mode == PreallocMode.Falloc ? DoWriteAsync(offset, new byte[length], BlockWriteFlags.None) : base.PreallocateAsync(offset, length, mode);

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
        bool fails = FailsWrite?.Invoke(offset) ?? false;
        Change(new StorageChange(offset, buffer.ToArray()), fails);
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
            Power.Draw();
            HasFailedFlush |= Requests == FailsOnceAt;
            FailIf(HasStopped || Requests++ == FailsOnceAt || FailsFlushes);
            _unflushed.ForEach(change => change.ApplyTo(_durable));
            _unflushed.Clear();
        }
    }

    protected override ValueTask DoTruncateAsync(long sizeBytes)
    {
        Change(new StorageChange(sizeBytes, null), fails: false);
        return default;
    }

    /// <summary>Changes the content; what fails may have been done in part.</summary>
    private void Change(StorageChange change, bool fails)
    {
        lock (_gate)
        {
            if (Power.Draw())
            {
                _unflushed.Add(change);
            }

            FailIf(HasStopped);
            bool failsOnce = Requests++ == FailsOnceAt;
            if (failsOnce && change.Bytes is { } bytes)
            {
                change = change with { Bytes = bytes[..(bytes.Length / 2)] };
            }

            FailIf(fails || (failsOnce && change.Bytes is null));
            change.ApplyTo(_content);
            _unflushed.Add(change);
            FailIf(failsOnce);
        }
    }

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
