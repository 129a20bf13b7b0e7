using System.Runtime.CompilerServices;
using Monitor.Block.Drivers.Shaping;
using Monitor.Nbd;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Nbd;

/// <summary>An export of an NBD server (driver <c>nbd</c>).</summary>
public sealed class NbdNode : BlockNode, IDisposable, IShapedMedium
{
    private const int SectorBytes = 512;

    private readonly NbdServerAddress _server;
    private readonly NbdClient _client;
    private readonly string? _bitmapContext;
    private readonly TimeSpan _openTimeout;
    private RequestShaper _shaper = new(null!, RequestLimits.Uniform(1, NbdProtocol.MaxPayloadBytes));
    private NbdTransmissionFlags _flags;

    /// <summary>Makes a node that is not connected yet.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">Where the export is, and how patient to be.</param>
    /// <param name="clock">Measures the patience; the system's if not given.</param>
    public NbdNode(BlockNodeSettings settings, BlockdevOptionsNbd options, TimeProvider? clock = null)
        : base(settings)
    {
        _bitmapContext = options.XDirtyBitmap;
        _openTimeout = TimeSpan.FromSeconds(options.OpenTimeout ?? 0);
        _server = new NbdServerAddress(options.Server, options.Export, _bitmapContext ?? NbdMetaContextName.BaseAllocation);
        _client = new NbdClient(_server, TimeSpan.FromSeconds(options.ReconnectDelay ?? 0), clock ?? TimeProvider.System);
    }

    /// <inheritdoc/>
    public override string DriverName => "nbd";

    /// <inheritdoc/>
    public override string FileName => _server.Uri ?? JsonFileName;

    /// <inheritdoc/>
    public override string OptionsJson => _server.OptionsJson;

    /// <summary>Whether there is a connection now.</summary>
    public bool IsConnected => _client.IsConnected;

    /// <inheritdoc/>
    public override async ValueTask OpenAsync()
    {
        await _client.ConnectAsync(_openTimeout).ConfigureAwait(false);
        NbdClientExport export = _client.Export;
        if (_bitmapContext is not null && export.MetaContexts.Count == 0)
        {
            _client.Dispose();
            throw new QmpException($"Could not open image: {Errno.Describe(Errno.EINVAL)}");
        }

        if (export.Info.SizeBytes > long.MaxValue)
        {
            _client.Dispose();
            throw new QmpException($"Could not open image: {Errno.Describe(Errno.EFBIG)}");
        }

        _flags = export.Info.Flags;
        ApplyReadOnly();
        _shaper = new RequestShaper(this, Limits(export));
        SetSize((long)export.Info.SizeBytes);
    }

    /// <inheritdoc/>
    public override ValueTask CloseAsync()
    {
        Dispose();
        return default;
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        var here = new HostOffset(offset);
        if (_client.Export.MetaContexts.Count == 0)
        {
            return new BlockMapping(BlockMappingKind.Data, length, null, here);
        }

        int alignment = _shaper.Limits.Alignment;
        long start = offset & -alignment;
        uint asked = (uint)Math.Min(Math.Min(offset + length, SizeBytes) - start, (int.MaxValue & -alignment) - alignment);
        asked = (uint)Math.Min((asked + alignment - 1) & -alignment, SizeBytes - start);
        NbdAnswer answer = await _client.SendAsync(NbdCommand.BlockStatus, NbdCommandFlags.ReqOne, start, asked, default, default).ConfigureAwait(false);
        Check(answer);
        long found = Math.Max(1, Math.Min(answer.Extent.Length - (offset - start), length));
        return ((NbdAllocationFlags)answer.Extent.Flags & NbdAllocationFlags.Zero) != 0
            ? new BlockMapping(BlockMappingKind.Zero, found)
            : new BlockMapping(BlockMappingKind.Data, found, null, here);
    }

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) => buffer.IsEmpty ? default : _shaper.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        CheckEnd(offset + buffer.Length);
        return buffer.IsEmpty ? default : _shaper.WriteAsync(offset, buffer, flags);
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        CheckEnd(offset + length);
        return _shaper.WriteZeroesAsync(offset, length, flags);
    }

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) =>
        Can(NbdTransmissionFlags.SendTrim) ? _shaper.DiscardAsync(offset, length) : default;

    /// <inheritdoc/>
    protected override ValueTask DoFlushAsync() =>
        Can(NbdTransmissionFlags.SendFlush) && !Settings.CacheNoFlush ? RequestAsync(NbdCommand.Flush, NbdCommandFlags.None, 0, 0, default, default) : default;

    /// <inheritdoc/>
    protected override ValueTask DoTruncateAsync(long sizeBytes) =>
        sizeBytes <= SizeBytes ? default : throw new BlockIoException(Errno.ENOTSUP, "Cannot grow NBD nodes");

    /// <inheritdoc/>
    protected internal override void Reconfigure(BlockdevOptions? options)
    {
        if (!Settings.ReadOnly && Can(NbdTransmissionFlags.ReadOnly))
        {
            throw new QmpException("Can't reopen read-only NBD mount as read/write");
        }
    }

    /// <inheritdoc/>
    protected internal override void OnDrainBegun() => _client.BeginImpatience();

    /// <inheritdoc/>
    protected internal override void OnDrainEnded() => _client.EndImpatience();

    /// <inheritdoc/>
    ValueTask IShapedMedium.ReadBlocksAsync(long offset, Memory<byte> buffer) =>
        RequestAsync(NbdCommand.Read, NbdCommandFlags.None, offset, buffer.Length, default, buffer);

    /// <inheritdoc/>
    ValueTask IShapedMedium.WriteBlocksAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        WriteAsync(NbdCommand.Write, NbdCommandFlags.None, offset, buffer.Length, buffer, flags);

    /// <inheritdoc/>
    ValueTask IShapedMedium.ZeroBlocksAsync(long offset, long length, BlockWriteFlags flags)
    {
        bool isFast = (flags & BlockWriteFlags.NoFallback) != 0;
        if (!Can(NbdTransmissionFlags.SendWriteZeroes) || (isFast && !Can(NbdTransmissionFlags.SendFastZero)))
        {
            throw new BlockIoException(Errno.ENOTSUP);
        }

        NbdCommandFlags how = ((flags & BlockWriteFlags.MayUnmap) == 0 ? NbdCommandFlags.NoHole : NbdCommandFlags.None)
            | (isFast ? NbdCommandFlags.FastZero : NbdCommandFlags.None);
        return WriteAsync(NbdCommand.WriteZeroes, how, offset, length, default, flags);
    }

    /// <inheritdoc/>
    ValueTask IShapedMedium.DiscardBlocksAsync(long offset, long length) =>
        RequestAsync(NbdCommand.Trim, NbdCommandFlags.None, offset, length, default, default);

    private static RequestLimits Limits(NbdClientExport export)
    {
        // A server that is silent about its blocks is asked for sectors, unless the export is no whole number of them.
        bool isInSectors = export.Info.SizeBytes % SectorBytes == 0;
        int alignment = export.BlockSizes is { Minimum: > 0 } told ? (int)Math.Min(told.Minimum, 1u << 30) : isInSectors ? SectorBytes : 1;
        uint longest = Math.Min(export.BlockSizes?.Maximum ?? NbdProtocol.MaxPayloadBytes, NbdProtocol.MaxPayloadBytes);
        return RequestLimits.Uniform(alignment, (int)longest);
    }

    private static void Check(NbdAnswer answer)
    {
        if (answer.Errno != 0)
        {
            throw new BlockIoException(answer.Errno);
        }
    }

    private bool Can(NbdTransmissionFlags flag) => (_flags & flag) != 0;

    /// <summary>An export does not grow by writing behind its end.</summary>
    private void CheckEnd(long end)
    {
        if (end > SizeBytes)
        {
            throw new BlockIoException(Errno.ENOSPC);
        }
    }

    private void ApplyReadOnly()
    {
        if (!Can(NbdTransmissionFlags.ReadOnly) || Settings.ReadOnly)
        {
            return;
        }

        if (!Settings.AutoReadOnly)
        {
            _client.Dispose();
            throw new QmpException($"Could not open image: {Errno.Describe(Errno.EACCES)}");
        }

        Settings = Settings with { ReadOnly = true };
    }

    private ValueTask WriteAsync(
        NbdCommand command, NbdCommandFlags how, long offset, long length, ReadOnlyMemory<byte> payload, BlockWriteFlags flags)
    {
        if ((flags & BlockWriteFlags.Fua) == 0)
        {
            return RequestAsync(command, how, offset, length, payload, default);
        }

        return Can(NbdTransmissionFlags.SendFua)
            ? RequestAsync(command, how | NbdCommandFlags.Fua, offset, length, payload, default)
            : WriteAndFlushAsync(command, how, offset, length, payload);
    }

    private async ValueTask WriteAndFlushAsync(NbdCommand command, NbdCommandFlags how, long offset, long length, ReadOnlyMemory<byte> payload)
    {
        await RequestAsync(command, how, offset, length, payload, default).ConfigureAwait(false);
        await DoFlushAsync().ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask RequestAsync(
        NbdCommand command, NbdCommandFlags flags, long offset, long length, ReadOnlyMemory<byte> payload, Memory<byte> destination) =>
        Check(await _client.SendAsync(command, flags, offset, (uint)length, payload, destination).ConfigureAwait(false));
}
