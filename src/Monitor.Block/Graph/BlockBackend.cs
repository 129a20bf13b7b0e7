using System.Runtime.CompilerServices;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>The door: the root user of a node (an export, a job's side, a drive). Counts the requests inside and can be closed.</summary>
/// <remarks>
/// <para>One word holds the count of requests inside and, in its top bit, whether the door is closed: entering is one interlocked
/// add, leaving another. A <see cref="DrainedSection"/> closes the door, waits for the count to reach zero, edits the graph and
/// opens it again; who comes meanwhile waits outside. Closings nest (a count, changed in turns only).</para>
/// <para>A job's copy is one operation: it uses <see cref="TryEnter"/> on every door it needs before its first read, works on
/// <see cref="Node"/> directly, and calls <see cref="Exit"/> after its last write.</para>
/// </remarks>
public sealed partial class BlockBackend : IBlockParent
{
    private const int Closed = 1 << 30;

    private int _state;
    private int _closings;
    private BlockChild? _root;
    private TaskCompletionSource? _opened;
    private TaskCompletionSource? _empty;

    private static long s_made;

    /// <summary>Makes a backend without a node; <see cref="BlockGraph.AttachRoot"/> gives it one.</summary>
    /// <param name="description">How error texts name it: <c>an unnamed block device</c>, <c>block device 'd'</c>.</param>
    public BlockBackend(string description = "an unnamed block device") => Description = description;

    /// <summary>Grows with every backend that is made.</summary>
    public long Number { get; } = Interlocked.Increment(ref s_made);

    /// <inheritdoc/>
    public string Description { get; set; }

    /// <summary>The name of the drive that it is; empty for all others. Given by <see cref="BlockGraph.SetName"/>.</summary>
    public string Name { get; internal set; } = "";

    /// <summary>Whether there is a node. A drive may have none; its requests fail with ENOMEDIUM then.</summary>
    public bool HasMedium => _root is not null;

    /// <summary>The edge to the node, if there is one.</summary>
    public BlockChild? Root
    {
        get => _root;
        internal set => _root = value;
    }

    /// <summary>The node below; only valid while attached.</summary>
    public BlockNode Node => _root!.Node;

    /// <summary>The guest-visible length in bytes.</summary>
    public long SizeBytes => _root?.Node.SizeBytes ?? 0;

    /// <summary>Whether writes are refused: the node is read-only or the edge has no write permission.</summary>
    public bool IsReadOnly => _root is not { } root || root.Node.IsReadOnly || ((OnBehalfOf?._root ?? root).Used & BlockPermission.Write) == 0;

    /// <summary>The door whose permissions hold here too: this one only serves its owner, and needs none of its own.</summary>
    public BlockBackend? OnBehalfOf { get; init; }

    /// <summary>Whether the node may be inactive although the owner would write to it: its requests are refused then.</summary>
    public bool AllowsInactive { get; init; }

    /// <summary>What the owner uses and shares as soon as the node is active; <see langword="null"/> while it does.</summary>
    internal (BlockPermission Used, BlockPermission Shared)? Suspended { get; private set; }

    /// <summary>Called as a turn when the door closes (true) for the first time and opens (false) for the last.</summary>
    public Action<bool>? DrainedChanged { get; set; }

    /// <summary>Whether the door is closed now.</summary>
    public bool IsDrained => _closings > 0;

    /// <summary>Requests inside now.</summary>
    public int InFlight => Volatile.Read(ref _state) & ~Closed;

    /// <summary>Goes in if the door is open; every success needs one <see cref="Exit"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _state) & Closed) == 0)
        {
            return true;
        }

        Exit();
        return false;
    }

    /// <summary>Goes in, waiting outside while the door is closed; needs one <see cref="Exit"/>.</summary>
    public ValueTask EnterAsync() => TryEnter() ? default : EnterLaterAsync();

    /// <summary>Completes when the door is open; it may be closed again by then.</summary>
    public Task WaitOpenAsync() => Volatile.Read(ref _opened)?.Task ?? Task.CompletedTask;

    /// <summary>Goes out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Exit()
    {
        if (Interlocked.Decrement(ref _state) == Closed)
        {
            Volatile.Read(ref _empty)?.TrySetResult();
        }
    }

    /// <summary>Reads through the door. The range must lie within the size.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), or the medium failed.</exception>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer) =>
        Policy is null ? ReadOnceAsync(offset, buffer) : GovernAsync(BlockRequest.Read(offset, buffer));

    /// <summary>Writes through the door. The range must lie within the size.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), read-only (EPERM), or the medium failed.</exception>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags = BlockWriteFlags.None) =>
        Policy is null ? WriteOnceAsync(offset, buffer, flags) : GovernAsync(BlockRequest.Write(offset, buffer, flags));

    /// <summary>Makes a range read as zeroes, through the door.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), read-only (EPERM), not cheap with NoFallback (ENOTSUP), or the medium failed.</exception>
    public ValueTask WriteZeroesAsync(long offset, long length, BlockWriteFlags flags = BlockWriteFlags.None) =>
        Policy is null ? WriteZeroesOnceAsync(offset, length, flags) : GovernAsync(BlockRequest.WriteZeroes(offset, length, flags));

    private async ValueTask WriteZeroesOnceAsync(long offset, long length, BlockWriteFlags flags)
    {
        await EnterAsync().ConfigureAwait(false);
        Admit(BlockRequestKind.Write, offset, length);
        long started = BlockStatistics.Now;
        bool succeeded = false;
        try
        {
            await Node.WriteZeroesAtRootAsync(offset, length, flags).ConfigureAwait(false);
            succeeded = true;
        }
        finally
        {
            Finish(BlockRequestKind.Write, length, started, succeeded);
        }
    }

    /// <summary>Says that a range is of no more use, through the door.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), read-only (EPERM), or the medium failed.</exception>
    public ValueTask DiscardAsync(long offset, long length) =>
        Policy is null ? DiscardOnceAsync(offset, length) : GovernAsync(BlockRequest.Discard(offset, length));

    private async ValueTask DiscardOnceAsync(long offset, long length)
    {
        await EnterAsync().ConfigureAwait(false);
        Admit(BlockRequestKind.Unmap, offset, length);
        long started = BlockStatistics.Now;
        bool succeeded = false;
        try
        {
            await Node.DiscardAsync(offset, length).ConfigureAwait(false);
            succeeded = true;
        }
        finally
        {
            Finish(BlockRequestKind.Unmap, length, started, succeeded);
        }
    }

    /// <summary>Makes every acknowledged write durable.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask FlushAsync() => Policy is null ? FlushOnceAsync() : GovernAsync(BlockRequest.Flush);

    private async ValueTask FlushOnceAsync()
    {
        await EnterAsync().ConfigureAwait(false);
        Admit(BlockRequestKind.Flush, 0, 0);
        long started = BlockStatistics.Now;
        bool succeeded = false;
        try
        {
            await Node.FlushAsync().ConfigureAwait(false);
            succeeded = true;
        }
        finally
        {
            Finish(BlockRequestKind.Flush, 0, started, succeeded);
        }
    }

    /// <summary>What a reader sees over the range's first run, the backing chain included.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), or the medium failed.</exception>
    public ValueTask<BlockStatus> MapAsync(long offset, long length)
    {
        if (!TryEnter())
        {
            return MapLaterAsync(offset, length);
        }

        ValueTask<BlockStatus> map;
        try
        {
            map = MapInside(offset, length);
        }
        catch
        {
            Exit();
            throw;
        }

        if (!map.IsCompleted)
        {
            return ExitLaterAsync(map);
        }

        Exit();
        return map;
    }

    /// <summary>What a reader sees over a range, run after run, as far as there is room; see <see cref="BlockStatusWalk"/>.</summary>
    /// <exception cref="BlockIoException">Out of range (EIO), or the medium failed.</exception>
    public async ValueTask<int> MapAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        await EnterAsync().ConfigureAwait(false);
        try
        {
            CheckMapped(offset, length);
            return await BlockStatusWalk.StatusAsync(Node, offset, length, runs).ConfigureAwait(false);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Whether the owner can do without what it uses while the node is inactive.</summary>
    internal bool MayLose(BlockPermission used) => AllowsInactive || (used & ~BlockPermission.ConsistentRead) == 0;

    /// <summary>Gives up its permissions if the node is inactive, and takes them again if it is active. A turn; whoever calls updates the permissions below.</summary>
    internal void FollowNode()
    {
        BlockChild root = _root!;
        if (root.Node.IsActive && Suspended is { } wanted)
        {
            (root.Used, root.Shared) = wanted;
            Suspended = null;
        }
        else if (!root.Node.IsActive && Suspended is null && MayLose(root.Used))
        {
            Suspended = (root.Used, root.Shared);
            (root.Used, root.Shared) = (BlockPermission.None, BlockPermission.All);
        }
    }

    /// <summary>Takes note of what the owner uses and shares, and says what of it goes for now.</summary>
    /// <exception cref="QmpException">The node is inactive, and the owner cannot do without.</exception>
    internal (BlockPermission Used, BlockPermission Shared) Want(BlockNode node, BlockPermission used, BlockPermission shared)
    {
        Suspended = null;
        if (node.IsActive)
        {
            return (used, shared);
        }

        if (!MayLose(used))
        {
            throw new QmpException($"Permission '{used.Describe()}' unavailable on inactive node");
        }

        Suspended = (used, shared);
        return (BlockPermission.None, BlockPermission.All);
    }

    /// <summary>Closes the door once more; a turn.</summary>
    internal void CloseDoor()
    {
        if (++_closings == 1)
        {
            Volatile.Write(ref _opened, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            Volatile.Write(ref _empty, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
            if (Interlocked.Or(ref _state, Closed) == 0)
            {
                _empty.TrySetResult();
            }

            DrainedChanged?.Invoke(true);
        }
    }

    /// <summary>Completes when nothing is inside; the door is closed.</summary>
    internal Task WaitEmptyAsync() => _empty!.Task;

    /// <summary>Takes back one closing; a turn.</summary>
    internal void OpenDoor()
    {
        if (--_closings == 0)
        {
            Interlocked.And(ref _state, ~Closed);
            TaskCompletionSource opened = _opened!;
            Volatile.Write(ref _opened, null);
            opened.SetResult();
            DrainedChanged?.Invoke(false);
        }
    }

    private bool IsInside(long offset, long length) => _root is { } root && offset >= 0 && length >= 0 && offset <= root.Node.SizeBytes - length;

    /// <summary>Turns a request that came in away again if it cannot be served.</summary>
    private void Admit(BlockRequestKind kind, long offset, long length)
    {
        int errno = Refusal(kind, offset, length);
        if (errno == 0)
        {
            return;
        }

        _root?.Node.Statistics.CountInvalid(kind);
        Exit();
        throw new BlockIoException(errno);
    }

    /// <summary>Why a request cannot be served; 0 if it can.</summary>
    private int Refusal(BlockRequestKind kind, long offset, long length)
    {
        bool isInside = IsInside(offset, length);
        return isInside && (kind is BlockRequestKind.Read or BlockRequestKind.Flush || !IsReadOnly) ? 0
            : isInside ? Errno.EPERM
            : HasMedium ? Errno.EIO
            : Errno.ENOMEDIUM;
    }

    /// <summary>Counts a request and lets it out.</summary>
    private void Finish(BlockRequestKind kind, long length, long started, bool succeeded)
    {
        BlockStatistics statistics = Node.Statistics;
        if (succeeded)
        {
            statistics.CountDone(kind, length, started);
        }
        else
        {
            statistics.CountFailed(kind, started);
        }

        Exit();
    }

    private ValueTask Leave(ValueTask request, BlockRequestKind kind, long length, long started)
    {
        if (!request.IsCompleted)
        {
            return LeaveLaterAsync(request, kind, length, started);
        }

        Finish(kind, length, started, request.IsCompletedSuccessfully);
        return request;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask LeaveLaterAsync(ValueTask request, BlockRequestKind kind, long length, long started)
    {
        bool succeeded = false;
        try
        {
            await request.ConfigureAwait(false);
            succeeded = true;
        }
        finally
        {
            Finish(kind, length, started, succeeded);
        }
    }

    private ValueTask<BlockStatus> MapInside(long offset, long length)
    {
        CheckMapped(offset, length);
        return BlockStatusWalk.StatusAsync(Node, offset, length);
    }

    private void CheckMapped(long offset, long length)
    {
        if (!IsInside(offset, length))
        {
            throw new BlockIoException(HasMedium ? Errno.EIO : Errno.ENOMEDIUM);
        }
    }

    private async ValueTask<BlockStatus> MapLaterAsync(long offset, long length)
    {
        await EnterLaterAsync().ConfigureAwait(false);
        try
        {
            return await MapInside(offset, length).ConfigureAwait(false);
        }
        finally
        {
            Exit();
        }
    }

    private async ValueTask<BlockStatus> ExitLaterAsync(ValueTask<BlockStatus> map)
    {
        try
        {
            return await map.ConfigureAwait(false);
        }
        finally
        {
            Exit();
        }
    }

    private async ValueTask EnterLaterAsync()
    {
        do
        {
            await WaitOpenAsync().ConfigureAwait(false);
        }
        while (!TryEnter());
    }

    private ValueTask ReadOnceAsync(long offset, Memory<byte> buffer) =>
        TryEnter() ? ReadInside(offset, buffer) : ReadLaterAsync(offset, buffer);

    private ValueTask WriteOnceAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags) =>
        TryEnter() ? WriteInside(offset, buffer, flags) : WriteLaterAsync(offset, buffer, flags);

    private async ValueTask ReadLaterAsync(long offset, Memory<byte> buffer)
    {
        await EnterLaterAsync().ConfigureAwait(false);
        await ReadInside(offset, buffer).ConfigureAwait(false);
    }

    private ValueTask ReadInside(long offset, Memory<byte> buffer)
    {
        Admit(BlockRequestKind.Read, offset, buffer.Length);
        long started = BlockStatistics.Now;
        ValueTask request;
        try
        {
            request = Node.ReadAsync(offset, buffer);
        }
        catch
        {
            Finish(BlockRequestKind.Read, buffer.Length, started, succeeded: false);
            throw;
        }

        return Leave(request, BlockRequestKind.Read, buffer.Length, started);
    }

    private async ValueTask WriteLaterAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        await EnterLaterAsync().ConfigureAwait(false);
        await WriteInside(offset, buffer, flags).ConfigureAwait(false);
    }

    private ValueTask WriteInside(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags)
    {
        Admit(BlockRequestKind.Write, offset, buffer.Length);
        long started = BlockStatistics.Now;
        ValueTask request;
        try
        {
            request = Node.WriteAsync(offset, buffer, flags);
        }
        catch
        {
            Finish(BlockRequestKind.Write, buffer.Length, started, succeeded: false);
            throw;
        }

        return Leave(request, BlockRequestKind.Write, buffer.Length, started);
    }
}
