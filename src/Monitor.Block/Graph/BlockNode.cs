using System.Runtime.CompilerServices;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;

namespace Monitor.Block;

/// <summary>A vertex of the block graph: guest-visible bytes with a name, a size, children and dirty bitmaps.</summary>
/// <remarks>
/// The public I/O methods are the node's contract; drivers implement the <c>Do…</c> methods beneath. Every write passes here on its
/// way up and marks the node's log when it has finished, failed or not, before it is acknowledged (some bytes may have landed).
/// Ranges are checked at the door (<see cref="BlockBackend"/>); a node trusts its parents.
/// </remarks>
public abstract class BlockNode : IBlockParent
{
    /// <summary>The largest size in bytes: what 64-bit offsets hold, in units of the largest alignment that QEMU knows.</summary>
    public const long MaximumSizeBytes = long.MaxValue & -(1L << 30);

    private const string JsonPrefix = "json:";

    private readonly List<BlockChild> _children = [];

    /// <summary>Replaced whole by turns, so that any thread may read it.</summary>
    private BlockChild[] _parents = [];

    private readonly Lock _growth = new();
    private long _sizeBytes;
    private long _highestWriteEnd;
    private WriteThreshold? _writeThreshold;
    private string? _impliedBackingName;

    /// <summary>Makes a node that is not in a graph yet and has not touched its medium.</summary>
    protected BlockNode(BlockNodeSettings settings)
    {
        Settings = settings;
        IsActive = !settings.BeginsInactive;
        Bitmaps = new NodeBitmaps(0, settings.NodeName);
    }

    /// <summary>The options every node has.</summary>
    public BlockNodeSettings Settings { get; protected internal set; }

    /// <summary>The unique name.</summary>
    public string NodeName => Settings.NodeName;

    /// <summary>The driver's wire name, such as <c>qcow2</c>.</summary>
    public abstract string DriverName { get; }

    /// <summary>What <c>filename</c> of the queries shows: a path, or a <c>json:</c> form where a path does not say enough, or empty.</summary>
    public virtual string FileName => FilteredOrFile is not { } below ? ""
        : IsFilter ? below.FileName
        : IsBackingOverridden || !below.IsProtocol || below.FileName.StartsWith(JsonPrefix, StringComparison.Ordinal) ? JsonFileName
        : below.FileName;

    /// <summary>The name of what the image lies in at the very bottom: relative names inside it count from there.</summary>
    public string MediumName => FilteredOrFile is { } below ? below.MediumName : FileName;

    /// <summary>The options that make the node, as JSON; the members stand in the order in which QEMU happens to write them.</summary>
    public virtual string OptionsJson => DescribeOptions(new OptionsText(DriverName)).ToString();

    /// <summary>Whether writes are refused: its options say so, or it is inactive.</summary>
    public bool IsReadOnly => Settings.ReadOnly || !IsActive;

    /// <summary>Whether the image is this process's to use. While it is not, another process may change it: nothing is written or locked here. See <see cref="BlockActivation"/>.</summary>
    public bool IsActive { get; internal set; }

    /// <summary>The guest-visible length in bytes.</summary>
    public long SizeBytes => Volatile.Read(ref _sizeBytes);

    /// <summary>Requests of the medium come in multiples of this many bytes (1 when any are served).</summary>
    public virtual int RequestAlignment => 1;

    /// <summary>The cluster size in bytes of a format that has one, else 0: copying works best in these units.</summary>
    public virtual int ClusterSizeBytes => 0;

    /// <summary>Whether writes may ask for <see cref="BlockWriteFlags.Compressed"/>.</summary>
    public virtual bool SupportsCompression => false;

    /// <summary>Created by the client (<c>blockdev-add</c>) and so kept until the client deletes it.</summary>
    public bool IsMonitorOwned { get; internal set; }

    /// <summary>Put in by a job, and kept until the job takes it out, also while nobody else uses it.</summary>
    public bool IsJobOwned { get; set; }

    /// <summary>Put in by a job without a name of the client's: who asks for a drive is shown the node below.</summary>
    public bool IsImplicit { get; init; }

    /// <summary>Shows its child's content; put in by a job or an option.</summary>
    public virtual bool IsFilter => false;

    /// <summary>The edges to the nodes below, in the order they were attached.</summary>
    public IReadOnlyList<BlockChild> Children => _children;

    /// <summary>The edges from whoever stands above.</summary>
    public IReadOnlyList<BlockChild> Parents => Volatile.Read(ref _parents);

    /// <summary>The edge to the <c>backing</c> node, if any.</summary>
    public BlockChild? Backing => FindChild(BlockChildRole.CopyOnWrite);

    /// <summary>The options it was opened with; <see langword="null"/> for a node that a job put in.</summary>
    public BlockdevOptions? Definition { get; internal set; }

    /// <summary>The parent in whose definition it was opened: what its own options leave open comes from there. Null for a node added by itself.</summary>
    public BlockNode? InheritsFrom { get; internal set; }

    /// <summary>The backing node's name as far as the image implies it: another backing node must be given by options.</summary>
    public string? ImpliedBackingName
    {
        get => _impliedBackingName ?? BackingFromImage?.FileName;
        internal set => _impliedBackingName = value;
    }

    /// <summary>The dirty bitmaps and the log of writes.</summary>
    public NodeBitmaps Bitmaps { get; }

    /// <summary>What its users have asked of it.</summary>
    public BlockStatistics Statistics { get; } = new();

    /// <summary>Where the write ended that reached furthest, in bytes; 0 before the first.</summary>
    public long HighestWriteEnd => Volatile.Read(ref _highestWriteEnd);

    /// <summary>Where a write is to be announced; <see langword="null"/> if nowhere, or once it was.</summary>
    public WriteThreshold? WriteThreshold
    {
        get => Volatile.Read(ref _writeThreshold) is { IsCrossed: false } waiting ? waiting : null;
        set => Volatile.Write(ref _writeThreshold, value);
    }

    /// <inheritdoc/>
    public string Description => $"node '{NodeName}'";

    /// <summary>The <c>json:</c> form of the name.</summary>
    protected string JsonFileName => JsonPrefix + OptionsJson;

    /// <summary>Whether the open backing node is another one than the image names: then the image's path says too little.</summary>
    private bool IsBackingOverridden => SupportsBacking && (ImpliedBackingName ?? "") != (Backing?.Node.FileName ?? "");

    /// <summary>The edge to the node whose content shows through: what a filter filters, or the backing node.</summary>
    public BlockChild? FilteredOrBacking => FindChild(IsFilter ? BlockChildRole.Filtered : BlockChildRole.CopyOnWrite);

    private BlockNode? FilteredOrFile => (FindChild(BlockChildRole.Filtered) ?? FindChild(BlockChildRole.Primary))?.Node;

    /// <summary>Whether the node's name may be taken for that of a format above it: it is no format itself, and no filter that shows one.</summary>
    protected internal virtual bool IsProtocol => Children.Count == 0;

    /// <summary>Adds the nodes below to a node's options.</summary>
    private protected OptionsText DescribeOptions(OptionsText options)
    {
        foreach (BlockChild child in Children)
        {
            if ((child.Role & BlockChildRole.CopyOnWrite) == 0 || IsBackingOverridden)
            {
                options.Add(child.Name, child.Node.OptionsJson);
            }
        }

        return IsBackingOverridden && Backing is null ? options.Add("backing", "null") : options;
    }

    /// <summary>The first child edge that has <paramref name="role"/>.</summary>
    public BlockChild? FindChild(BlockChildRole role)
    {
        foreach (BlockChild child in _children)
        {
            if ((child.Role & role) != 0)
            {
                return child;
            }
        }

        return null;
    }

    /// <summary>This node, or the first one below it that is not a filter.</summary>
    public BlockNode SkipFilters()
    {
        BlockNode node = this;
        while (node.IsFilter && node.FindChild(BlockChildRole.Filtered) is { } child)
        {
            node = child.Node;
        }

        return node;
    }

    /// <summary>This node, or the first one below it that the client knows of.</summary>
    public BlockNode SkipImplicit()
    {
        BlockNode node = this;
        while (node.IsImplicit && node.FilteredOrBacking is { } child)
        {
            node = child.Node;
        }

        return node;
    }

    /// <summary>Reads the medium's header and sets the size. Children are attached; runs off the loop.</summary>
    /// <exception cref="QmpException">The image is not what the options say.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public abstract ValueTask OpenAsync();

    /// <summary>Stores what is kept in memory and lets go of the medium; no request is in flight. Runs off the loop.</summary>
    /// <remarks>Best effort: failures are logged, never thrown.</remarks>
    public virtual ValueTask CloseAsync() => default;

    /// <summary>Reads bytes as the guest sees them.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="buffer">Filled wholly.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer) => DoReadAsync(offset, buffer);

    /// <summary>Writes bytes as the guest sees them.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="buffer">Must stay unchanged until completion.</param>
    /// <param name="flags">Fua, Unchanged, Compressed.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags = BlockWriteFlags.None)
    {
        if (Settings.DetectZeroes != DetectZeroesMode.Off && buffer.Span.IndexOfAnyExcept((byte)0) < 0)
        {
            return WriteZeroesAsync(offset, buffer.Length, Settings.DetectZeroes == DetectZeroesMode.Unmap ? flags | BlockWriteFlags.MayUnmap : flags);
        }

        NoteWrite(offset + buffer.Length);
        ValueTask write;
        try
        {
            write = DoWriteAsync(offset, buffer, flags);
        }
        catch (BlockIoException e)
        {
            write = ValueTask.FromException(e);
        }

        return Marked(write, offset, buffer.Length, flags);
    }

    /// <summary>Which bytes of a file of the host a range is, as it stands; <see langword="null"/> if it is not so simple.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes.</param>
    public virtual FileRange? FindFile(long offset, long length) => null;

    /// <summary>Takes bytes out of a file of the host without bringing them here. Counts as a write, whatever comes of it.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="source">What is copied.</param>
    /// <returns>Whether it was done. If not, part of it may be, and a write must do it, or tell what is wrong.</returns>
    public async ValueTask<bool> CopyFromAsync(long offset, FileRange source)
    {
        if (Settings.DetectZeroes != DetectZeroesMode.Off)
        {
            return false;
        }

        NoteWrite(offset + source.Length);
        try
        {
            return await DoCopyFromAsync(offset, source).ConfigureAwait(false);
        }
        finally
        {
            Mark(offset, source.Length, BlockWriteFlags.None);
        }
    }

    /// <summary>Makes a range read as zeroes.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="flags">Fua, MayUnmap, NoFallback, Unchanged.</param>
    /// <exception cref="BlockIoException">The medium failed; ENOTSUP with NoFallback where it would not be cheap.</exception>
    public ValueTask WriteZeroesAsync(long offset, long length, BlockWriteFlags flags = BlockWriteFlags.None) =>
        WriteZeroesAtRootAsync(offset, length, Settings.DiscardUnmap ? flags : flags & ~BlockWriteFlags.MayUnmap);

    /// <summary><see cref="WriteZeroesAsync"/> for a user at the root: MayUnmap counts even where the node ignores discards, as in QEMU. A sparse
    /// copy stays sparse on a node that nobody gave options.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="flags">As for <see cref="WriteZeroesAsync"/>.</param>
    /// <exception cref="BlockIoException">As for <see cref="WriteZeroesAsync"/>.</exception>
    public ValueTask WriteZeroesAtRootAsync(long offset, long length, BlockWriteFlags flags)
    {
        NoteWrite(offset + length);
        ValueTask write;
        try
        {
            write = DoWriteZeroesAsync(offset, length, flags);
        }
        catch (BlockIoException e)
        {
            write = ValueTask.FromException(e);
        }

        return Marked(write, offset, length, flags);
    }

    /// <summary>Says that a range's content is of no more use; what it reads as afterwards is the format's affair.</summary>
    /// <param name="offset">Guest position in bytes.</param>
    /// <param name="length">Bytes.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask DiscardAsync(long offset, long length)
    {
        if (!Settings.DiscardUnmap)
        {
            return default;
        }

        ValueTask discard;
        try
        {
            discard = DoDiscardAsync(offset, length);
        }
        catch (BlockIoException e)
        {
            discard = ValueTask.FromException(e);
        }

        return Marked(discard, offset, length, BlockWriteFlags.None);
    }

    /// <summary>Makes every acknowledged write durable.</summary>
    /// <exception cref="BlockIoException">The medium failed; what was not durable may be lost.</exception>
    public ValueTask FlushAsync() => DoFlushAsync();

    /// <summary>Where the bytes of the range's first run live, in this node alone.</summary>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes at least 1.</param>
    public abstract ValueTask<BlockMapping> MapAsync(long offset, long length);

    /// <summary>What this node alone says of a range, run after run: <see cref="MapAsync"/> for many runs at once, without their places.</summary>
    /// <param name="offset">Guest position in bytes, below the size.</param>
    /// <param name="length">Bytes, at least 1; ends within the size.</param>
    /// <param name="runs">Filled from its start; neighbours may be alike. Where the backing node shows through, nothing is allocated.</param>
    /// <returns>Runs filled in, at least 1; together they may be shorter than the range.</returns>
    /// <exception cref="BlockIoException">The medium failed, or the map is damaged, where the first run would begin.</exception>
    public virtual async ValueTask<int> DescribeAsync(long offset, long length, Memory<BlockStatus> runs)
    {
        BlockMapping run = await MapAsync(offset, length).ConfigureAwait(false);
        runs.Span[0] = BlockStatus.Of(run.Kind, run.Length);
        return 1;
    }

    /// <summary>The backing file that the image's header names, once open; <see langword="null"/> if it names none or the format cannot.</summary>
    public virtual BackingImage? BackingFromImage => null;

    /// <summary>The edge's name of what holds the image, or is shown.</summary>
    protected internal const string FileChild = "file";

    /// <summary>The edge's name of an external data file.</summary>
    protected internal const string DataFileChild = "data-file";

    /// <summary>The external data file that the image's header asks for, once open: its name, or empty if the header does not say it; null if it asks for none.</summary>
    public virtual string? DataFileFromImage => null;

    /// <summary>Takes note that the external data file was attached.</summary>
    protected internal virtual void AdoptDataFile()
    {
    }

    /// <summary>Tells of a point of the work of the node above, for <c>blkdebug</c>: passed down the chain until such a node takes it.</summary>
    /// <param name="evt">What is about to happen.</param>
    public virtual void DebugEvent(BlkdebugEvent evt)
    {
        if (_children.Count > 0)
        {
            FilteredOrFile?.DebugEvent(evt);
        }
    }

    /// <summary>Changes the guest-visible size of the medium, then <see cref="SizeBytes"/> and the bitmaps. Inside a drained section.</summary>
    /// <param name="sizeBytes">The new size.</param>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public async ValueTask TruncateAsync(long sizeBytes)
    {
        await DoTruncateAsync(sizeBytes).ConfigureAwait(false);
        SetSize(sizeBytes);
    }

    /// <summary>Lets go of everything the image holds of its own, so that its backing node shows through; what is read must not change by that. Inside a drained section.</summary>
    /// <exception cref="BlockIoException">The format cannot (ENOTSUP), or the medium failed; then a part may be gone.</exception>
    public virtual ValueTask MakeEmptyAsync() => throw new BlockIoException(Errno.ENOTSUP);

    /// <summary>Takes over what a drive asks of its node beyond the node's own options; before the first request.</summary>
    /// <param name="detectZeroes">What is done with zeroes; giving space back is left out where discards are ignored.</param>
    /// <param name="copiesOnRead">Whether what is read from the backing node is kept in the image.</param>
    public void AdoptDriveOptions(DetectZeroesMode detectZeroes, bool copiesOnRead) =>
        Settings = Settings with { DetectZeroes = detectZeroes, CopiesOnRead = copiesOnRead };

    /// <summary>Takes space for a range ahead of its first write; what it reads as does not change, or is zeroes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mode">Reserve (falloc) or write zeroes (full).</param>
    /// <exception cref="BlockIoException">The medium cannot (ENOTSUP), or failed.</exception>
    public virtual async ValueTask PreallocateAsync(long offset, long length, PreallocMode mode)
    {
        if (mode != PreallocMode.Full)
        {
            throw new BlockIoException(Errno.ENOTSUP, $"Unsupported preallocation mode '{mode.ToWire()}'");
        }

        byte[] zeroes = new byte[Math.Min(length, 1 << 20)];
        for (long done = 0; done < length;)
        {
            int piece = (int)Math.Min(zeroes.Length, length - done);
            await WriteAsync(offset + done, zeroes.AsMemory(0, piece)).ConfigureAwait(false);
            done += piece;
        }
    }

    /// <summary>Takes note that a child has another size: who shows its child's content has it too. From any thread.</summary>
    protected internal virtual void FollowChildSize()
    {
    }

    /// <summary>Writes another backing file name into the image's header; the open backing node stays.</summary>
    /// <param name="backing">The name and format; <see langword="null"/> for none.</param>
    /// <exception cref="BlockIoException">The image has no such name (ENOTSUP), it does not fit, or the medium failed.</exception>
    public virtual ValueTask ChangeBackingFileAsync(BackingImage? backing) => throw new BlockIoException(Errno.ENOTSUP);

    /// <summary>The settings before the reopen that is under way.</summary>
    internal BlockNodeSettings? SettingsBeforeReopen { get; set; }

    /// <summary>Stores what is kept in memory and is lost to a read-only image; the node is drained and about to become read-only.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    protected internal virtual ValueTask LeaveWritableAsync() => default;

    /// <summary>Prepares the image to be written; the node is drained and has just become writable.</summary>
    /// <exception cref="QmpException">The image may not be written.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    protected internal virtual ValueTask EnterWritableAsync() => default;

    /// <summary>Undoes <see cref="LeaveWritableAsync"/>: the node stays writable after all. Never fails: what cannot be done now is done before the next write.</summary>
    protected internal virtual ValueTask StayWritableAsync() => default;

    /// <summary>Writes what it keeps of its file, in whose place another node is about to come; it is writable and drained.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    protected internal virtual ValueTask LeaveFileAsync() => default;

    /// <summary>Forgets what it can read again from its file, which is another node now; the one before has everything. It is drained. A turn.</summary>
    protected internal virtual void OnFileReplaced()
    {
    }

    /// <summary>Reads what new options or a new file ask for, at the end of a reopen; it is drained.</summary>
    /// <exception cref="QmpException">They cannot be met.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    protected internal virtual ValueTask OnReopenedAsync() => default;

    /// <summary>Forgets what it keeps of an image that another process may change from now on. It is drained, stored and inactive. A turn.</summary>
    protected internal virtual void OnInactivated()
    {
    }

    /// <summary>Reads anew what another process may have changed. It is drained, has its permissions again, and its children are active.</summary>
    /// <exception cref="QmpException">The image is not what it was.</exception>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    protected internal virtual ValueTask EnterActiveAsync()
    {
        MarkUnseenWrites();
        return default;
    }

    /// <summary>Marks everything: what another process wrote while the node was inactive no bitmap in memory has seen.</summary>
    protected void MarkUnseenWrites() => Bitmaps.MarkWritten(0, SizeBytes);

    /// <summary>Takes over those options of its driver that may change while it is open. Its children are the new ones; it is drained.</summary>
    /// <exception cref="QmpException">They do not fit; nothing was changed.</exception>
    protected internal virtual void Reconfigure(BlockdevOptions? options)
    {
    }

    /// <summary>From now on the header alone implies the backing node's name.</summary>
    public void ForgetImpliedBackingName() => _impliedBackingName = null;

    /// <summary>Whether the format knows backing files.</summary>
    public virtual bool SupportsBacking => false;

    /// <summary>What this node needs of, and lets others do with, one of its children, given what its own parents need and let.</summary>
    /// <param name="child">The edge.</param>
    /// <param name="used">What all parents together do with this node.</param>
    /// <param name="shared">What all parents together let others do with this node.</param>
    public virtual (BlockPermission Used, BlockPermission Shared) ChildPermissions(BlockChild child, BlockPermission used, BlockPermission shared) =>
        DefaultPermissions.For(child.Role, used, shared, !IsReadOnly);

    /// <summary>Looks whether the medium can give these permissions (locks, writability); nothing is changed on failure.</summary>
    /// <exception cref="QmpException">It cannot.</exception>
    protected internal virtual void CheckPermissions(BlockPermission used, BlockPermission shared)
    {
        if ((used & (BlockPermission.Write | BlockPermission.WriteUnchanged)) != 0 && IsReadOnly)
        {
            throw new QmpException(
                SettingsBeforeReopen is { ReadOnly: false }
                    ? $"Read-only block node '{NodeName}' cannot support read-write users"
                    : "Block node is read-only");
        }
    }

    /// <summary>Takes note of permissions that were checked.</summary>
    protected internal virtual void SetPermissions(BlockPermission used, BlockPermission shared)
    {
    }

    /// <summary>Undoes a successful <see cref="CheckPermissions"/> whose graph change did not happen.</summary>
    protected internal virtual void AbortPermissions()
    {
    }

    /// <summary>Its children are attached, it is about to be opened. A turn.</summary>
    /// <exception cref="QmpException">It refuses them.</exception>
    protected internal virtual void OnAttached()
    {
    }

    /// <summary>It is about to be closed for good: nobody stands above. A turn.</summary>
    protected internal virtual void OnReleased()
    {
    }

    /// <summary>The doors above are closed: requests that this node holds back of its own accord must go on, until <see cref="OnDrainEnded"/>. A turn; nests.</summary>
    protected internal virtual void OnDrainBegun()
    {
    }

    /// <summary>Ends one <see cref="OnDrainBegun"/>. A turn.</summary>
    protected internal virtual void OnDrainEnded()
    {
    }

    /// <summary>Completes when nothing of this node's own is under way that no door counts. The doors above are closed and empty.</summary>
    protected internal virtual ValueTask WhenIdleAsync() => default;

    /// <summary>Reads; see <see cref="ReadAsync"/>. May throw or return a faulted task.</summary>
    protected abstract ValueTask DoReadAsync(long offset, Memory<byte> buffer);

    /// <summary>Writes; see <see cref="WriteAsync"/>. May throw or return a faulted task.</summary>
    protected abstract ValueTask DoWriteAsync(long offset, ReadOnlyMemory<byte> buffer, BlockWriteFlags flags);

    /// <summary>Copies from a file; see <see cref="CopyFromAsync"/>. The range lies within the size.</summary>
    protected virtual ValueTask<bool> DoCopyFromAsync(long offset, FileRange source) => new(false);

    /// <summary>Zeroes; see <see cref="WriteZeroesAsync"/>.</summary>
    protected abstract ValueTask DoWriteZeroesAsync(long offset, long length, BlockWriteFlags flags);

    /// <summary>Discards; see <see cref="DiscardAsync"/>. Only called with <c>discard: unmap</c>.</summary>
    protected abstract ValueTask DoDiscardAsync(long offset, long length);

    /// <summary>Flushes; see <see cref="FlushAsync"/>.</summary>
    protected abstract ValueTask DoFlushAsync();

    /// <summary>Changes the medium's size; see <see cref="TruncateAsync"/>.</summary>
    protected virtual ValueTask DoTruncateAsync(long sizeBytes) =>
        throw new BlockIoException(Errno.ENOTSUP, "Image format driver does not support resize");

    /// <summary>Takes note of the medium's size: at open or after a truncate. The nodes above follow.</summary>
    protected void SetSize(long sizeBytes)
    {
        lock (_growth)
        {
            if (sizeBytes == SizeBytes)
            {
                return;
            }

            // The bitmaps first: a write that finds the disk long enough already must be able to mark all of its range.
            Bitmaps.Resize(sizeBytes);
            Volatile.Write(ref _sizeBytes, sizeBytes);

            // Under the lock, so that they see one size after the other in this order. Locks are taken upwards only.
            foreach (BlockChild edge in Parents)
            {
                (edge.Parent as BlockNode)?.FollowChildSize();
            }
        }
    }

    /// <summary>Takes note that a write made the medium longer; does nothing if it did not. From any thread.</summary>
    protected void GrowSize(long sizeBytes)
    {
        if (sizeBytes <= SizeBytes)
        {
            return;
        }

        lock (_growth)
        {
            if (sizeBytes > SizeBytes)
            {
                SetSize(sizeBytes);
            }
        }
    }

    internal void AddChild(BlockChild child) => _children.Add(child);

    internal void RemoveChild(BlockChild child) => _children.Remove(child);

    internal void AddParent(BlockChild edge) => Volatile.Write(ref _parents, [.. _parents, edge]);

    internal void RemoveParent(BlockChild edge) => Volatile.Write(ref _parents, Array.FindAll(_parents, other => other != edge));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void NoteWrite(long end)
    {
        if (end > Volatile.Read(ref _highestWriteEnd))
        {
            RaiseHighestWriteEnd(end);
        }

        Volatile.Read(ref _writeThreshold)?.NoteWrite(end);
    }

    private void RaiseHighestWriteEnd(long end)
    {
        for (long seen = HighestWriteEnd; end > seen;)
        {
            long before = Interlocked.CompareExchange(ref _highestWriteEnd, end, seen);
            if (before == seen)
            {
                return;
            }

            seen = before;
        }
    }

    private ValueTask Marked(ValueTask write, long offset, long length, BlockWriteFlags flags)
    {
        if (!write.IsCompleted)
        {
            return MarkedLaterAsync(write, offset, length, flags);
        }

        Mark(offset, length, flags);
        return write;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask MarkedLaterAsync(ValueTask write, long offset, long length, BlockWriteFlags flags)
    {
        try
        {
            await write.ConfigureAwait(false);
        }
        finally
        {
            Mark(offset, length, flags);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Mark(long offset, long length, BlockWriteFlags flags)
    {
        if ((flags & BlockWriteFlags.Unchanged) == 0)
        {
            Bitmaps.MarkWritten(offset, length);
        }
    }
}
