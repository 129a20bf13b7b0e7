using Monitor.Block.Drivers.Filters;
using Monitor.Block.Drivers.Shaping;
using Monitor.Block.Io;
using Monitor.Qapi;

namespace Monitor.Block.Drivers.Blkdebug;

/// <summary>A filter that lets requests fail where its rules say (driver <c>blkdebug</c>), for tests of whatever stands above it.</summary>
/// <remarks>The points of work that rules hang on are raised by the nodes above through <see cref="BlockNode.DebugEvent"/>, those about writes here.</remarks>
public sealed class BlkdebugNode : FilterNode, IShapedMedium
{
    private readonly BlockdevOptionsBlkdebug _options;
    private readonly BlkdebugBreakpoints _breakpoints = new();
    private readonly BlockPermission _takes;
    private readonly BlockPermission _unshares;
    private BlkdebugRules _rules;
    private RequestShaper? _shaper;

    /// <summary>Makes the node; its <c>image</c> child (role Filtered) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">Rules and limits.</param>
    public BlkdebugNode(BlockNodeSettings settings, BlockdevOptionsBlkdebug options)
        : base(settings)
    {
        _options = options;
        _rules = new BlkdebugRules(options.InjectError, options.SetState);
        _takes = Set(options.TakeChildPerms);
        _unshares = Set(options.UnshareChildPerms);
    }

    /// <inheritdoc/>
    public override string DriverName => "blkdebug";

    /// <inheritdoc/>
    public override string FileName => BlkdebugOptionsText.IsNeeded(_options) || !IsPlain(Below.FileName)
        ? JsonFileName
        : $"blkdebug:{_options.Config}:{Below.FileName}";

    /// <inheritdoc/>
    protected internal override bool IsProtocol => true;

    /// <inheritdoc/>
    public override string OptionsJson => BlkdebugOptionsText.Write(_options, Below.OptionsJson);

    /// <inheritdoc/>
    public override int RequestAlignment => Math.Max((int)(_options.Align ?? 0), base.RequestAlignment);

    /// <summary>The first such node from a node down; <see langword="null"/> if there is none.</summary>
    public static BlkdebugNode? FindBelow(BlockNode node)
    {
        BlockNode? below = node;
        while (below is not (null or BlkdebugNode))
        {
            below = (below.FindChild(BlockChildRole.Filtered) ?? below.FindChild(BlockChildRole.Primary))?.Node;
        }

        return below as BlkdebugNode;
    }

    /// <summary>Stops the next request that reaches a point of work.</summary>
    /// <param name="evt">The point.</param>
    /// <param name="tag">What the request is called then.</param>
    public void Break(BlkdebugEvent evt, string tag) => _breakpoints.Set(evt, tag);

    /// <summary>Takes breakpoints of a tag away and lets go what they stopped.</summary>
    /// <returns>Whether the tag stood for anything.</returns>
    public bool RemoveBreak(string tag) => _breakpoints.Remove(tag);

    /// <summary>Lets a stopped request go on.</summary>
    /// <returns>Whether there was one of the tag.</returns>
    public bool Resume(string tag) => _breakpoints.Resume(tag);

    /// <summary>Completes when a request of the tag is stopped.</summary>
    public Task WaitBreakAsync(string tag) => _breakpoints.WaitAsync(tag);

    /// <inheritdoc/>
    public override async ValueTask OpenAsync()
    {
        await base.OpenAsync().ConfigureAwait(false);
        if (_options.Config is { } path)
        {
            var (errors, transitions) = BlkdebugConfiguration.Read(path);
            _rules = new BlkdebugRules([.. errors, .. _options.InjectError ?? []], [.. transitions, .. _options.SetState ?? []]);
        }

        if ((_options.Align ?? _options.MaxTransfer ?? _options.OptWriteZero ?? _options.MaxWriteZero ?? _options.OptDiscard ?? _options.MaxDiscard) is not null)
        {
            _shaper = new RequestShaper(this, Limits());
        }
    }

    /// <inheritdoc/>
    public override void DebugEvent(BlkdebugEvent evt)
    {
        _rules.OnEvent(evt);
        _breakpoints.OnEvent(evt);
    }

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared)
    {
        (BlockPermission childUsed, BlockPermission childShared) = base.ChildPermissions(child, used, shared);
        return (childUsed | _takes, childShared & ~_unshares);
    }

    /// <inheritdoc/>
    public override async ValueTask<BlockMapping> MapAsync(long offset, long length)
    {
        await MeetRulesAsync(BlkdebugIOType.BlockStatus, offset, length).ConfigureAwait(false);
        return await base.MapAsync(offset, length).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected internal override void OnDrainBegun() => _breakpoints.ResumeAll();

    /// <inheritdoc/>
    protected override ValueTask DoReadAsync(long offset, Memory<byte> buffer) =>
        _shaper is { } shaper ? shaper.ReadAsync(offset, buffer) : ReadBelowAsync(offset, buffer);

    /// <inheritdoc/>
    protected override async ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await ReachAsync(BlkdebugEvent.Pwritev).ConfigureAwait(false);
        if (_shaper is { } shaper)
        {
            await shaper.WriteAsync(offset, buffer, flags).ConfigureAwait(false);
        }
        else
        {
            await WriteBelowAsync(offset, buffer, flags).ConfigureAwait(false);
        }

        await ReachAsync(BlkdebugEvent.PwritevDone).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await ReachAsync(BlkdebugEvent.PwritevZero).ConfigureAwait(false);
        if (_shaper is { } shaper)
        {
            await shaper.WriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
        }
        else
        {
            await ZeroBelowAsync(offset, length, flags).ConfigureAwait(false);
        }

        await ReachAsync(BlkdebugEvent.PwritevDone).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override ValueTask DoDiscardAsync(long offset, long length) =>
        _shaper is { } shaper ? shaper.DiscardAsync(offset, length) : DiscardBelowAsync(offset, length);

    /// <inheritdoc/>
    protected override async ValueTask DoFlushAsync()
    {
        if (!Settings.CacheNoFlush)
        {
            await MeetRulesAsync(BlkdebugIOType.Flush, 0, 0).ConfigureAwait(false);
        }

        await base.DoFlushAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    ValueTask IShapedMedium.ReadBlocksAsync(long offset, Memory<byte> buffer) => ReadBelowAsync(offset, buffer);

    /// <inheritdoc/>
    ValueTask IShapedMedium.WriteBlocksAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) => WriteBelowAsync(offset, buffer, flags);

    /// <inheritdoc/>
    ValueTask IShapedMedium.ZeroBlocksAsync(long offset, long length, BlockWriteFlags flags) => ZeroBelowAsync(offset, length, flags);

    /// <inheritdoc/>
    ValueTask IShapedMedium.DiscardBlocksAsync(long offset, long length) => DiscardBelowAsync(offset, length);

    /// <inheritdoc/>
    ValueTask IShapedMedium.ReachAsync(BlkdebugEvent evt) => ReachAsync(evt);

    private static bool IsPlain(string fileName) => fileName.Length > 0 && !fileName.StartsWith("json:", StringComparison.Ordinal);

    private async ValueTask ReadBelowAsync(long offset, Memory<byte> buffer)
    {
        await MeetRulesAsync(BlkdebugIOType.Read, offset, buffer.Length).ConfigureAwait(false);
        await base.DoReadAsync(offset, buffer).ConfigureAwait(false);
    }

    private async ValueTask WriteBelowAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await MeetRulesAsync(BlkdebugIOType.Write, offset, buffer.Length).ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }

    private async ValueTask ZeroBelowAsync(long offset, long length, BlockWriteFlags flags)
    {
        await MeetRulesAsync(BlkdebugIOType.WriteZeroes, offset, length).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    private async ValueTask DiscardBelowAsync(long offset, long length)
    {
        await MeetRulesAsync(BlkdebugIOType.Discard, offset, length).ConfigureAwait(false);
        await base.DoDiscardAsync(offset, length).ConfigureAwait(false);
    }

    /// <summary>Where nothing is said the medium below takes anything.</summary>
    private RequestLimits Limits()
    {
        int align = Math.Max(1, (int)(_options.Align ?? 1));
        int most = (1 << 30) & -align;
        return new RequestLimits(
            align,
            Given(_options.MaxTransfer) ?? most,
            Given(_options.OptWriteZero) ?? align,
            Given(_options.MaxWriteZero) ?? most,
            Given(_options.OptDiscard) ?? align,
            Given(_options.MaxDiscard) ?? most);
    }

    private static int? Given(int? limit) => limit is null or 0 ? null : limit;

    /// <summary>A point of work of this node's own: a request may have to stop there.</summary>
    private ValueTask ReachAsync(BlkdebugEvent evt)
    {
        DebugEvent(evt);
        return _breakpoints.PassAsync();
    }

    private static BlockPermission Set(IReadOnlyList<Qapi.BlockPermission>? permissions)
    {
        var set = BlockPermission.None;
        foreach (Qapi.BlockPermission permission in permissions ?? [])
        {
            // The wire's enum lists the permissions in the order of their bits.
            set |= (BlockPermission)(1 << (int)permission);
        }

        return set;
    }

    /// <summary>Fails if a rule says so: at once, or like a medium a little later.</summary>
    private async ValueTask MeetRulesAsync(BlkdebugIOType type, long offset, long length)
    {
        await _breakpoints.PassAsync().ConfigureAwait(false);
        if (_rules.Meet(type, offset, length) is not { } rule || rule.Errno == 0)
        {
            return;
        }

        if (rule.Immediately != true)
        {
            await BlockThreads.RunAsync(static () => { }).ConfigureAwait(false);
        }

        throw new BlockIoException((int)(rule.Errno ?? Errno.EIO));
    }
}
