using Monitor.Qapi;

namespace Monitor.Block.Drivers.Null;

/// <summary>A disk that keeps nothing (drivers <c>null-co</c> and <c>null-aio</c>): for measuring what lies above it.</summary>
/// <remarks>
/// Without a latency every request completes at once. Reads give zeroes even where the client did not ask for them (QEMU leaves the
/// buffer as it is): a pooled buffer may hold another client's bytes. <c>read-zeroes</c> decides only whether the map promises zeroes.
/// </remarks>
public sealed class NullNode : BlockNode
{
    /// <summary>The size in bytes when none is given.</summary>
    public const long DefaultSizeBytes = 1L << 30;

    private const long SectorBytes = 512;

    private readonly TimeSpan _latency;
    private readonly bool _readZeroes;
    private readonly TimeProvider _clock;
    private string? _fileName;

    /// <summary>Makes the node.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="sizeBytes">Its size; rounded up to whole sectors of 512 bytes.</param>
    /// <param name="latencyNanoseconds">How long a request takes; rounded up to whole milliseconds.</param>
    /// <param name="readZeroes">Whether the map says that everything reads as zeroes.</param>
    /// <param name="driverName"><c>null-co</c> or <c>null-aio</c>.</param>
    /// <param name="clock">Measures the latency; the system's if not given.</param>
    public NullNode(
        BlockNodeSettings settings,
        long sizeBytes = DefaultSizeBytes,
        long latencyNanoseconds = 0,
        bool readZeroes = false,
        string driverName = "null-co",
        TimeProvider? clock = null)
        : base(settings)
    {
        SetSize((sizeBytes + SectorBytes - 1) & -SectorBytes);
        _latency = TimeSpan.FromMilliseconds((latencyNanoseconds / 1_000_000) + (latencyNanoseconds % 1_000_000 == 0 ? 0 : 1));
        _readZeroes = readZeroes;
        _clock = clock ?? TimeProvider.System;
        DriverName = driverName;
    }

    /// <inheritdoc/>
    public override string DriverName { get; }

    /// <inheritdoc/>
    public override string FileName =>
        _fileName ??= Options is { Size: null, LatencyNs: null, ReadZeroes: null } ? DriverName + "://" : JsonFileName;

    /// <inheritdoc/>
    public override string OptionsJson
    {
        get
        {
            string readZeroes = Options.ReadZeroes is { } zeroes ? $"\"read-zeroes\": {(zeroes ? "true" : "false")}, " : "";
            string size = Options.Size is { } bytes ? $", \"size\": {bytes}" : "";
            string latency = Options.LatencyNs is { } nanoseconds ? $", \"latency-ns\": {nanoseconds}" : "";
            return $"{{{readZeroes}\"driver\": \"{DriverName}\"{size}{latency}}}";
        }
    }

    /// <summary>What the client gave, for the name.</summary>
    public BlockdevOptionsNull Options { get; init; } = new();

    /// <inheritdoc/>
    public override ValueTask OpenAsync() => default;

    /// <inheritdoc/>
    public override ValueTask<BlockMapping> MapAsync(long offset, long length) =>
        new(_readZeroes
            ? new BlockMapping(BlockMappingKind.Zero, length)
            : new BlockMapping(BlockMappingKind.Data, length, null, new HostOffset(offset)));

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer)
    {
        buffer.Span.Clear();
        return Delay();
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) => Delay();

    /// <inheritdoc/>
    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags) => Delay();

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) => Delay();

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() => Delay();

    private ValueTask Delay() => _latency == TimeSpan.Zero ? default : new ValueTask(Task.Delay(_latency, _clock));
}
