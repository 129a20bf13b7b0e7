using Monitor.Qapi;

namespace Monitor.Block.Drivers.Qcow2;

/// <summary>One look at all tables of an image, as they are on disk when it begins, although the image may be in use and its tables change.</summary>
/// <remarks>
/// <para>Idea: a table is looked at when its turn comes, or right before it changes on disk or becomes free, whichever is first
/// (<see cref="ImageFile.BeforeChange"/>). So everything counts once and as it was at the beginning, nothing is copied, and the allocation
/// lock is held for a table at a time. A table is read before the lock is taken; if it was looked at meanwhile, what was read is dropped.</para>
/// <para>Example: tables 0 and 1. The check is at 0 when a guest's flush writes table 1: it is read and counted first, with its old entries;
/// a cluster that the guest took after the beginning is in neither the refcounts nor the references that are compared.</para>
/// <para>What only changes behind closed doors (snapshots) replaces the tables; the pass is given up then. Cost: two counts of four bytes for each
/// cluster in use.</para>
/// </remarks>
internal sealed class CheckPass
{
    private readonly ImageFile _file;
    private readonly L2Layout _layout;
    private readonly CheckedTables _tables;
    private readonly TableVisits _l2;
    private readonly ReferenceWalk _walk;
    private readonly CopiedFlagCheck? _flags;
    private readonly ImageCheckFindings _flagFindings = new();
    private readonly byte[] _buffer;
    private BlockIoException? _failure;

    /// <summary>Prepares a pass; all tables have been written and nothing is being changed.</summary>
    /// <param name="file">The image's file.</param>
    /// <param name="first">Its first cluster.</param>
    /// <param name="tables">Its tables.</param>
    /// <param name="fix">What to repair. If anything, COPIED flags are not looked at: they must agree with the refcounts after it.</param>
    public CheckPass(ImageFile file, Qcow2HeaderCluster first, CheckedTables tables, ImageCheckFix fix)
    {
        Qcow2Header header = first.Header;
        (_file, _tables, _layout) = (file, tables, L2Layout.For(header));
        _buffer = new byte[header.ClusterBytes];
        Stored = new StoredRefcounts(file, header, tables.Refcounts);
        _l2 = new TableVisits(tables.L1, tables.L1.Length, Qcow2Format.OffsetMask, _layout.ClusterBits);
        _walk = new ReferenceWalk(file, first, Counts, Findings, fix);
        _flags = fix == ImageCheckFix.None ? new CopiedFlagCheck(_layout, Stored.Find, _flagFindings, repairs: false) : null;
        Findings.TotalClusters = (long)((header.SizeBytes + (ulong)header.ClusterBytes - 1) >> _layout.ClusterBits);
    }

    /// <summary>What was found so far.</summary>
    public ImageCheckFindings Findings { get; } = new();

    /// <summary>The references of the clusters.</summary>
    public ReferenceCounts Counts { get; } = new(_ => false);

    /// <summary>Their refcounts.</summary>
    public StoredRefcounts Stored { get; }

    /// <summary>Says that clusters have a reference that no table shows: they wait to be given back.</summary>
    public void Expect(ClusterRun run)
    {
        for (long cluster = run.First; cluster < run.First + run.Count; cluster++)
        {
            Counts.TryAdd(cluster, ReferenceCounts.Maximum);
        }
    }

    /// <summary>Counts what is not counted table by table. Nothing is being changed, also no bitmap in the image.</summary>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    public ValueTask BeginAsync() => _walk.CountFixedAsync(_tables);

    /// <summary>Looks at a range of the file that is about to change. Under the allocation lock; a failure ends the pass, not the change.</summary>
    public async ValueTask LookAheadAsync(long offset, long bytes)
    {
        try
        {
            foreach (int block in Stored.Blocks.LeftIn(offset, bytes))
            {
                await Stored.LoadAsync(block).ConfigureAwait(false);
            }

            foreach (int index in _l2.LeftIn(offset, bytes))
            {
                byte[] content = new byte[_buffer.Length];
                await _file.ReadAsync(PlaceOf(_tables.L1[index]), content, BlkdebugEvent.L2Load).ConfigureAwait(false);
                await CountActiveAsync(index, content).ConfigureAwait(false);
            }
        }
        catch (BlockIoException e)
        {
            _failure ??= e;
        }
    }

    /// <summary>Looks at all tables.</summary>
    /// <param name="steps">How; made when the pass began.</param>
    /// <returns>False if the image's tables were replaced meanwhile.</returns>
    /// <exception cref="BlockIoException">The medium failed.</exception>
    /// <exception cref="OperationCanceledException">It was to end.</exception>
    public async ValueTask<bool> RunAsync(CheckSteps steps)
    {
        steps.Foresee(Stored.Blocks.Entries.Length + _l2.Entries.Length + _tables.Snapshots.Sum(snapshot => 1 + (long)snapshot.L1Entries));
        foreach (int block in Stored.Blocks.Entries)
        {
            (long place, int length) = (Stored.PlaceOf(block), Stored.IsReadable(block) ? _buffer.Length : 0);
            if (!await steps.TakeAsync(BlkdebugEvent.RefblockLoad, place, _buffer.AsMemory(0, length), () => CountBlock(block)).ConfigureAwait(false))
            {
                return false;
            }
        }

        foreach (int index in _l2.Entries)
        {
            if (!await steps.TakeAsync(BlkdebugEvent.L2Load, PlaceOf(_tables.L1[index]), _buffer, () => CountActiveAsync(index, _buffer)).ConfigureAwait(false))
            {
                return false;
            }
        }

        foreach (Qcow2Snapshot snapshot in _tables.Snapshots)
        {
            if (!await RunSnapshotAsync(steps, snapshot).ConfigureAwait(false))
            {
                return false;
            }
        }

        ThrowIfFailed();
        return true;
    }

    /// <summary>Adds the refcount structures to the references, and to the findings what else was found on the way.</summary>
    /// <returns>The usable entries of the refcount table, others zero, and how many are damaged.</returns>
    public (ulong[] Usable, int Damaged) CountRefcounts()
    {
        (ulong[] Usable, int Damaged) refcounts = _walk.CountRefcounts(_tables.Refcounts);
        Findings.Absorb(Stored.Findings);
        return refcounts;
    }

    /// <summary>Adds what was found of the COPIED flags to the findings, behind everything else.</summary>
    public void AddFlags() => Findings.Absorb(_flagFindings);

    private void ThrowIfFailed()
    {
        if (_failure is { } failure)
        {
            throw new BlockIoException(failure.Errno, failure.Message);
        }
    }

    private static long PlaceOf(ulong l1Entry) => (long)(l1Entry & Qcow2Format.OffsetMask);

    private ValueTask CountBlock(int block)
    {
        if (Stored.Blocks.TryTake(block))
        {
            Stored.Load(block, _buffer);
        }

        return default;
    }

    private async ValueTask CountActiveAsync(int index, byte[] content)
    {
        ThrowIfFailed();
        if (!_l2.TryTake(index))
        {
            return;
        }

        await _walk.CountTableAsync(_tables.L1[index], content, isActive: true).ConfigureAwait(false);
        if (_flags is not null)
        {
            await Stored.LoadForAsync(_layout, PlaceOf(_tables.L1[index]), content).ConfigureAwait(false);
            _flags.Check(index, _tables.L1[index], content);
        }
    }

    /// <summary>A snapshot's own tables never change, nor do those that it shares.</summary>
    private async ValueTask<bool> RunSnapshotAsync(CheckSteps steps, Qcow2Snapshot snapshot)
    {
        ulong[] l1 = [];
        bool goesOn = await steps.TakeAsync(
            BlkdebugEvent.L1Update, 0, default, async () => l1 = await _walk.CountSnapshotAsync(snapshot).ConfigureAwait(false)).ConfigureAwait(false);
        steps.Skip(snapshot.L1Entries - l1.Count(entry => entry != 0));
        for (int i = 0; goesOn && i < l1.Length; i++)
        {
            ulong entry = l1[i];
            goesOn = entry == 0
                || await steps.TakeAsync(BlkdebugEvent.L2Load, PlaceOf(entry), _buffer, () => _walk.CountTableAsync(entry, _buffer, isActive: false)).ConfigureAwait(false);
        }

        return goesOn;
    }
}
