using Monitor.Qapi;

namespace Monitor.Block.Drivers.Filters;

/// <summary>Makes the file below longer than what is written needs, in large steps, and cuts the rest off in the end (driver <c>preallocate</c>).</summary>
/// <remarks>
/// <para>It does so while somebody above may both write and resize (a format that grows its file): then nobody else may, and the file's
/// end is this node's affair. Its own size is always the end of the data. Once the user is gone the file is cut back to that.</para>
/// <para>Example: 128 MiB ahead, steps of 1 MiB. A write that ends at 3 MiB of an empty file zeroes the file up to 131 MiB first; the
/// next writes up to there change no metadata of the host's file system. Closed, the file has 3 MiB.</para>
/// </remarks>
#pragma warning disable CA1001 // a gate that nobody waits for holds nothing to dispose of
public sealed class PreallocateNode : FilterNode
#pragma warning restore CA1001
{
    private const long DefaultAlign = 1 << 20;
    private const long DefaultAhead = 128 << 20;
    private const BlockPermission Change = BlockPermission.Write | BlockPermission.Resize;

    private readonly SemaphoreSlim _growing = new(1);
    private long _align;
    private long _ahead;
    private long _fileEnd;
    private bool _isActive;

    /// <summary>Makes the node; its <c>file</c> child (role Filtered) is attached before it is opened.</summary>
    /// <param name="settings">The options every node has.</param>
    /// <param name="options">Steps and how far ahead; checked.</param>
    public PreallocateNode(BlockNodeSettings settings, BlockdevOptionsPreallocate options)
        : base(settings) => Take(options);

    /// <inheritdoc/>
    public override string DriverName => "preallocate";

    /// <inheritdoc/>
    public override string FileName => JsonFileName;

    /// <inheritdoc/>
    public override (BlockPermission Used, BlockPermission Shared) ChildPermissions(
        BlockChild child, BlockPermission used, BlockPermission shared) =>
        (used & Change) == Change ? (used, shared & ~Change) : base.ChildPermissions(child, used, shared);

    /// <inheritdoc/>
    public override ValueTask OpenAsync()
    {
        CheckAlign(_align);
        return base.OpenAsync();
    }

    /// <inheritdoc/>
    protected internal override void CheckPermissions(BlockPermission used, BlockPermission shared)
    {
        base.CheckPermissions(used, shared);
        if (_isActive && (used & Change) != Change)
        {
            // Now, for afterwards others may make the file longer. Nothing is inside.
            CutBack();
        }
    }

    /// <inheritdoc/>
    protected internal override void SetPermissions(BlockPermission used, BlockPermission shared)
    {
        bool isActive = (used & Change) == Change;
        if (isActive && !_isActive)
        {
            _fileEnd = Below.SizeBytes;
            SetSize(_fileEnd);
        }

        _isActive = isActive;
    }

    /// <inheritdoc/>
    protected internal override ValueTask EnterActiveAsync()
    {
        _fileEnd = Below.SizeBytes;
        SetSize(_fileEnd);
        return base.EnterActiveAsync();
    }

    /// <inheritdoc/>
    protected internal override void FollowChildSize()
    {
        if (!_isActive)
        {
            base.FollowChildSize();
        }
    }

    /// <inheritdoc/>
    protected internal override void Reconfigure(BlockdevOptions? options)
    {
        if (options is not null)
        {
            CheckAlign(options.Preallocate.PreallocAlign ?? DefaultAlign);
            Take(options.Preallocate);
        }

        base.Reconfigure(options);
    }

    /// <inheritdoc/>
    protected override ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        _isActive && offset + buffer.Length > Volatile.Read(ref _fileEnd)
            ? WriteAheadAsync(offset, buffer, flags)
            : base.DoWriteAsync(offset, buffer, flags);

    /// <inheritdoc/>
    protected override async ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags)
    {
        await ReachAsync(offset + length).ConfigureAwait(false);
        await base.DoWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    protected override async ValueTask DoTruncateAsync(long sizeBytes)
    {
        if (_isActive && sizeBytes > SizeBytes && _fileEnd > SizeBytes)
        {
            await Below.TruncateAsync(SizeBytes).ConfigureAwait(false);
        }

        await base.DoTruncateAsync(sizeBytes).ConfigureAwait(false);
        Volatile.Write(ref _fileEnd, sizeBytes);
    }

    private void Take(BlockdevOptionsPreallocate options)
    {
        _align = Math.Max(1, options.PreallocAlign ?? DefaultAlign);
        _ahead = options.PreallocSize ?? DefaultAhead;
    }

    private void CheckAlign(long align)
    {
        if (align % Below.RequestAlignment != 0)
        {
            throw new QmpException(
                $"prealloc-align parameter of preallocate filter is not aligned to underlying node request alignment ({Below.RequestAlignment})");
        }
    }

    private void CutBack()
    {
        try
        {
            if (_fileEnd > SizeBytes)
            {
                Below.TruncateAsync(SizeBytes).AsTask().GetAwaiter().GetResult();
            }
        }
        catch (BlockIoException e)
        {
            DaemonLog.Warn("Block", $"node {NodeName}: the file keeps its allocated end: {e.Message}");
        }

        _fileEnd = SizeBytes;
    }

    private async ValueTask WriteAheadAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await ReachAsync(offset + buffer.Length).ConfigureAwait(false);
        await base.DoWriteAsync(offset, buffer, flags).ConfigureAwait(false);
    }

    /// <summary>Sees to it that the file reaches beyond a write's end. Best effort: if there is no room ahead, the write itself will tell.</summary>
    private async ValueTask ReachAsync(long end)
    {
        if (!_isActive || end <= Volatile.Read(ref _fileEnd))
        {
            return;
        }

        await _growing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (end > _fileEnd)
            {
                long reached = (end + _ahead + _align - 1) / _align * _align;
                await Below.WriteZeroesAsync(_fileEnd, reached - _fileEnd, BlockWriteFlags.NoFallback).ConfigureAwait(false);
                Volatile.Write(ref _fileEnd, reached);
            }
        }
        catch (BlockIoException)
        {
            Volatile.Write(ref _fileEnd, Math.Max(end, _fileEnd));
        }
        finally
        {
            _growing.Release();
        }
    }
}
