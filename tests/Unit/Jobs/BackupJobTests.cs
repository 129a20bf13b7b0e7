using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Jobs;

public sealed class BackupJobTests
{
    private const int Cluster = JobRoom.Cluster;

    private static readonly string[] s_started = ["b created", "b running", "b paused", "b running"];
    private static readonly string[] s_completed = ["b waiting", "b pending", "BLOCK_JOB_COMPLETED", "b concluded", "b null"];
    private static readonly string[] s_cancelled = ["b aborting", "BLOCK_JOB_CANCELLED", "b concluded", "b null"];

    private JobRoom _room = null!;
    private byte[] _before = [];

    [SetUp]
    public void SetUp()
    {
        _room = new JobRoom();
        _room.Source.Fill(new Random(1));
        _before = _room.Source.Snapshot();
    }

    [TearDown]
    public void TearDown() => _room.Dispose();

    [Test]
    public async Task When_the_last_guest_leaves_the_filter_stays_and_the_next_one_cannot_write_past_it()
    {
        Gate copying = _room.Target.HoldWrite(0);
        BackupJob job = await _room.BackupAsync();
        await _room.TurnAsync(() => _room.Graph.DetachRootAsync(_room.Guest).AsTask());

        Assert.That(
            _room.Refusal(() => _room.Graph.AttachRoot(new BlockBackend("next"), _room.Source, BlockPermission.Write, BlockPermission.All)),
            Does.Contain("Permission conflict on node 'src'"));
        copying.Open();
        await job.Gone;
        Assert.That(
            _room.Refusal(() => _room.Graph.AttachRoot(new BlockBackend("next"), _room.Source, BlockPermission.Write, BlockPermission.All)),
            Is.Empty);
    }

    [Test]
    public async Task A_target_that_reads_its_source_goes_on_reading_it_below_the_filter()
    {
        _room.Turn(() => _room.Graph.AttachChild(_room.Target, _room.Source, "backing", BlockChildRole.CopyOnWrite));
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.None });
        Assert.That(_room.Target.Backing!.Node, Is.SameAs(_room.Source), "with the filter there it would read itself");
        Assert.That(_room.Guest.Node, Is.Not.SameAs(_room.Source));
        await _room.TurnAsync(() => job.CancelAsync(force: true));
        await job.Gone;
        Assert.That((_room.Guest.Node, _room.Target.Backing.Node), Is.EqualTo((_room.Source, _room.Source)));
    }

    [Test]
    public async Task A_backup_runs_through_these_events_and_leaves_the_graph_as_it_was()
    {
        BackupJob job = await _room.BackupAsync();
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_started.Concat(s_completed)));
        Assert.That(_room.Events.Data("BLOCK_JOB_COMPLETED"), Is.EqualTo("""{"type":"backup","device":"b","len":1048576,"offset":1048576,"speed":0}"""));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_before), Is.True);
        Assert.That(_room.IsGraphAsBefore(), Is.True);
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Source));
    }

    [Test]
    public async Task A_disk_that_ends_inside_a_unit_is_copied_once()
    {
        using var room = new JobRoom((3 * Cluster) + 4096);
        BackupJob job = await room.BackupAsync();
        await job.Gone;
        Assert.That(room.Target.WritesSeen, Is.EqualTo(1));
        Assert.That(room.Target.Bytes.AsSpan().SequenceEqual(room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task A_guest_write_waits_until_the_old_bytes_are_in_the_target()
    {
        Gate gate = _room.Target.HoldWrite(0);
        BackupJob job = await _room.BackupAsync();
        await gate.Reached;
        Task write = _room.Guest.WriteAsync(100, new byte[] { 1, 2, 3 }).AsTask();
        Assert.That(write.IsCompleted, Is.False);
        gate.Open();
        await write;
        await job.Gone;
        Assert.That(_room.Source.Bytes[100], Is.EqualTo(1));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_before), Is.True);
    }

    [Test]
    public async Task A_write_ahead_of_the_job_has_its_old_bytes_copied_first()
    {
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.None });
        await _room.Guest.WriteAsync(5 * Cluster, new byte[] { 1, 2, 3 });
        Assert.That(_room.Target.Bytes[(5 * Cluster)..(6 * Cluster)], Is.EqualTo(_before[(5 * Cluster)..(6 * Cluster)]));
        Assert.That(_room.Target.WritesSeen, Is.EqualTo(1));
        await _room.TurnAsync(() => job.CancelAsync(force: false));
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_started.Concat(s_cancelled)));
        Assert.That(_room.Events.Data("BLOCK_JOB_CANCELLED"), Does.Contain("\"len\":1048576,\"offset\":65536"));
    }

    [Test]
    public async Task A_copy_before_write_that_fails_breaks_the_backup_and_never_the_write()
    {
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.None });
        _room.Target.Fail = (_, _, _) => Errno.ENOSPC;
        await _room.Guest.WriteAsync(0, new byte[] { 1, 2, 3 });
        await job.Gone;
        Assert.That(_room.Source.Bytes[..3], Is.EqualTo(new byte[] { 1, 2, 3 }));
        Assert.That(job.Error, Is.EqualTo("No space left on device"));
        Assert.That(_room.Events.Short()[4..], Is.EqualTo(new[] { "BLOCK_JOB_ERROR", "b aborting", "BLOCK_JOB_COMPLETED", "b concluded", "b null" }));
    }

    [Test]
    public async Task With_break_guest_write_a_failed_copy_fails_the_write_and_the_backup_goes_on()
    {
        byte[] before = [.. _room.Source.Bytes];
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.None, FailsGuestWrites = true });
        _room.Target.Fail = (_, _, _) => Errno.ENOSPC;
        BlockIoException? failure = await Assert.ThrowsAsync<BlockIoException>(async () => await _room.Guest.WriteAsync(0, new byte[] { 1, 2, 3 }));
        Assert.That(failure!.Errno, Is.EqualTo(Errno.ENOSPC));
        Assert.That(_room.Source.Bytes.AsSpan().SequenceEqual(before), Is.True);
        _room.Target.Fail = (_, _, _) => 0;
        await _room.Guest.WriteAsync(0, new byte[] { 1, 2, 3 });
        Assert.That(_room.Target.Bytes.AsSpan(0, Cluster).SequenceEqual(before.AsSpan(0, Cluster)), Is.True);
        await _room.TurnAsync(() => job.CancelAsync(force: false));
        await job.Gone;
    }

    [Test]
    public async Task What_was_copied_is_discarded_in_the_source_when_asked_for()
    {
        byte[] before = [.. _room.Source.Bytes];
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { DiscardSource = true });
        await job.Gone;
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(before), Is.True);
        Assert.That(_room.Source.Bytes.AsSpan().ContainsAnyExcept((byte)0), Is.False);
    }

    [Test]
    public async Task A_larger_cluster_size_copies_more_before_a_write()
    {
        BackupJob job = await _room.BackupAsync(
            _room.BackupOptions with { Sync = MirrorSyncMode.None, Perf = new BackupPerf { MinClusterSize = 4 * Cluster } });
        byte[] before = [.. _room.Source.Bytes];
        await _room.Guest.WriteAsync(0, new byte[] { 1, 2, 3 });
        Assert.That(_room.Target.Bytes.AsSpan(0, 4 * Cluster).SequenceEqual(before.AsSpan(0, 4 * Cluster)), Is.True);
        await _room.TurnAsync(() => job.CancelAsync(force: false));
        await job.Gone;
    }

    [Test]
    public async Task A_copy_for_the_last_dirty_cluster_that_fails_late_still_fails_the_backup()
    {
        DirtyBitmap bitmap = Bitmap();
        await _room.Guest.WriteAsync(2 * Cluster, new byte[] { 9 });
        Gate begin = _room.Source.HoldRead(2 * Cluster);
        Task write = Task.CompletedTask;
        BackupJob job = await _room.Loop.RunAsync(async () =>
        {
            BackupJob prepared;
            using GraphChange change = await _room.Graph.ChangeAsync();
            using (await _room.Graph.DrainAsync(_room.Source))
            {
                prepared = BackupJob.Prepare(_room.Jobs, _room.BackupOptions with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0" });
                prepared.Start();
            }

            // The guest comes before the job: its copy takes the only dirty bit.
            write = _room.Guest.WriteAsync(2 * Cluster, new byte[] { 1 }).AsTask();
            await begin.Reached;
            prepared.Proceed();
            return prepared;
        });
        _room.Target.Fail = (_, _, _) => Errno.ENOSPC;
        Assert.That(job.Status, Is.EqualTo(JobStatus.Running));
        begin.Open();
        await Task.WhenAll(write, job.Gone);
        Assert.That(job.Error, Is.EqualTo("No space left on device"));
        Assert.That(Areas(bitmap), Is.EqualTo(new[] { 2 }));
    }

    [Test]
    public async Task Sync_incremental_copies_what_the_bitmap_holds_and_abdicates()
    {
        DirtyBitmap bitmap = Bitmap();
        await _room.Guest.WriteAsync(2 * Cluster, new byte[10]);
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0", AutoFinalize = false });
        await _room.Events.SeenAsync("b pending");
        Assert.That(bitmap.IsBusy, Is.True);
        await _room.Guest.WriteAsync(7 * Cluster, new byte[10]);
        await _room.TurnAsync(job.FinalizeAsync);
        Assert.That(_room.Target.WritesSeen, Is.EqualTo(1));
        Assert.That(Areas(bitmap), Is.EqualTo(new[] { 7 }));
        Assert.That((bitmap.IsBusy, bitmap.IsEnabled), Is.EqualTo((false, true)));
    }

    [TestCase(BitmapSyncMode.OnSuccess, false, new[] { 7 })]
    [TestCase(BitmapSyncMode.Always, false, new[] { 7 })]
    [TestCase(BitmapSyncMode.Never, false, new[] { 2, 4, 7 })]
    [TestCase(BitmapSyncMode.OnSuccess, true, new[] { 2, 4, 7 })]
    [TestCase(BitmapSyncMode.Always, true, new[] { 4, 7 })]
    [TestCase(BitmapSyncMode.Never, true, new[] { 2, 4, 7 })]
    public async Task The_bitmap_ends_as_its_mode_says(BitmapSyncMode mode, bool fails, int[] dirty)
    {
        DirtyBitmap bitmap = Bitmap();
        await _room.Guest.WriteAsync(2 * Cluster, new byte[10]);
        await _room.Guest.WriteAsync(4 * Cluster, new byte[10]);
        Gate gate = _room.Target.HoldWrite(4 * Cluster);
        Gate first = _room.Target.HoldWrite(2 * Cluster);
        first.Open();
        _room.Target.Fail = (_, offset, _) => fails && offset == 4 * Cluster ? Errno.EIO : 0;
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.Bitmap, Bitmap = "b0", BitmapMode = mode });
        await gate.Reached;
        await first.Reached;
        await _room.Guest.WriteAsync(7 * Cluster, new byte[10]);
        while (_room.Target.WritesSeen == 0)
        {
            await Task.Yield();
        }

        gate.Open();
        await job.Gone;
        Assert.That(job.Error, fails ? Is.EqualTo("Input/output error") : Is.Null);
        Assert.That(Areas(bitmap), Is.EqualTo(dirty));
    }

    [Test]
    public async Task A_cancelled_incremental_backup_gives_the_bitmap_back_whole()
    {
        DirtyBitmap bitmap = Bitmap();
        await _room.Guest.WriteAsync(2 * Cluster, new byte[10]);
        Gate gate = _room.Target.HoldWrite(2 * Cluster);
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0" });
        await gate.Reached;
        await _room.Guest.WriteAsync(7 * Cluster, new byte[10]);
        await _room.TurnAsync(() => job.CancelAsync(force: false));
        gate.Open();
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_started.Concat(s_cancelled)));
        Assert.That(Areas(bitmap), Is.EqualTo(new[] { 2, 7 }));
        Assert.That(bitmap.IsBusy, Is.False);
    }

    [Test]
    public async Task An_abandoned_backup_leaves_no_trace_but_its_events()
    {
        DirtyBitmap bitmap = Bitmap();
        await _room.Guest.WriteAsync(2 * Cluster, new byte[10]);
        Task abandoned = Task.CompletedTask;
        await _room.DrainedAsync(() =>
        {
            BackupJob job = BackupJob.Prepare(_room.Jobs, _room.BackupOptions with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0" });
            abandoned = job.AbandonAsync();
            Assert.That(_room.Guest.Node, Is.SameAs(_room.Source), "undone before the doors open");
        });
        await abandoned;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "b created", "b aborting", "b concluded", "b null" }));
        Assert.That((Areas(bitmap), bitmap.IsBusy), Is.EqualTo((new[] { 2 }, false)));
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [Test]
    public async Task Sync_top_leaves_out_what_the_top_image_does_not_hold()
    {
        using var room = new JobRoom(isSourceAllocated: false);
        var backing = new GatedNode("backing", 1 << 20);
        room.Turn(() =>
        {
            room.Add(backing);
            room.Graph.AttachChild(room.Source, backing, "backing", BlockChildRole.CopyOnWrite);
        });
        await room.Guest.WriteAsync(3 * Cluster, new byte[Cluster]);
        BackupJob job = await room.BackupAsync(room.BackupOptions with { Sync = MirrorSyncMode.Top });
        await job.Gone;
        Assert.That(room.Events.Data("BLOCK_JOB_COMPLETED"), Does.Contain("\"len\":65536,\"offset\":65536"));
        Assert.That(room.Target.WritesSeen, Is.EqualTo(1));
    }

    [Test]
    public async Task A_stopping_error_pauses_and_the_backup_is_whole_after_resume()
    {
        int left = 1;
        _room.Source.Fail = (read, offset, _) => read && offset == 0 && Interlocked.Exchange(ref left, 0) == 1 ? Errno.EIO : 0;
        BackupJob job = await _room.BackupAsync(_room.BackupOptions with { OnSourceError = BlockdevOnError.Stop });
        await _room.Events.SeenAsync("b paused", times: 2);
        Assert.That(_room.Turn(() => job.ToBlockJobInfo().IoStatus), Is.EqualTo(BlockDeviceIoStatus.Failed));
        await _room.Guest.WriteAsync(0, new byte[] { 1 });
        _room.Turn(job.Resume);
        await job.Gone;
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_before), Is.True);
    }

    [Test]
    public async Task A_size_of_no_whole_clusters_is_copied_to_the_last_byte([Values(0, 1536, JobRoom.Cluster + 1)] int size)
    {
        using var room = new JobRoom(size);
        room.Source.Fill(new Random(size));
        byte[] before = room.Source.Snapshot();
        Gate gate = room.Target.HoldWrite(0);
        BackupJob job = await room.BackupAsync();
        if (size > 0)
        {
            await gate.Reached;
            Task write = room.Guest.WriteAsync(size - 1, new byte[] { 77 }).AsTask();
            gate.Open();
            await write;
        }

        await job.Gone;
        Assert.That(job.Error, Is.Null);
        Assert.That(room.Target.Bytes, Is.EqualTo(before));
    }

    [Test]
    public async Task What_does_not_fit_is_refused_in_these_words_and_nothing_changes()
    {
        Bitmap();
        BackupOptions options = _room.BackupOptions;
        BackupOptions incremental = options with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0" };
        (BackupOptions Options, string Text)[] cases =
        [
            (options with { Sync = MirrorSyncMode.Incremental }, "must provide a valid bitmap name for 'incremental' sync mode"),
            (options with { Sync = MirrorSyncMode.Bitmap }, "must provide a valid bitmap name for 'bitmap' sync mode"),
            (options with { Sync = MirrorSyncMode.Bitmap, Bitmap = "b0" }, "Bitmap sync mode must be given when providing a bitmap"),
            (incremental with { Bitmap = "nope" }, "Bitmap 'nope' could not be found"),
            (incremental with { BitmapMode = BitmapSyncMode.Never }, "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'"),
            (incremental with { BitmapMode = BitmapSyncMode.Always }, "Bitmap sync mode must be 'on-success' when using sync mode 'incremental'"),
            (options with { Bitmap = "b0" }, "Bitmap sync mode must be given when providing a bitmap"),
            (options with { Sync = MirrorSyncMode.None, Bitmap = "b0", BitmapMode = BitmapSyncMode.Always }, "sync mode 'none' does not produce meaningful bitmap outputs"),
            (options with { Bitmap = "b0", BitmapMode = BitmapSyncMode.Never }, "Bitmap sync mode 'never' has no meaningful effect when combined with sync mode 'full'"),
            (options with { BitmapMode = BitmapSyncMode.Always }, "Cannot specify bitmap sync mode without a bitmap"),
            (options with { Compress = true }, "Compression is not supported for this drive "),
            (options with { Perf = new BackupPerf { MaxWorkers = 0 } }, "max-workers must be between 1 and 2147483647"),
            (options with { Perf = new BackupPerf { MaxWorkers = 3_000_000_000 } }, "max-workers must be between 1 and 2147483647"),
            (options with { Perf = new BackupPerf { MaxChunk = -1 } }, "max-chunk must be zero (which means no limit) or positive"),
            (options with { Perf = new BackupPerf { MaxChunk = 100 } }, "Required max-chunk (100) is less than backup cluster size (65536)"),
            (options with { Perf = new BackupPerf { MinClusterSize = 100_000 } }, "min-cluster-size needs to be a power of 2"),
            (options with { Perf = new BackupPerf { MinClusterSize = 1UL << 40 } }, "min-cluster-size too large: 1099511627776 > 67108864"),
            (options with { Target = _room.Source }, "Source and target cannot be the same"),
            (options with { FilterNodeName = "src" }, "Could not create node: Duplicate nodes with node-name='src'"),
            (options with { SpeedBytesPerSecond = -1 }, "Parameter 'speed' expects a non-negative value"),
            (options with { JobId = "" }, "Invalid job ID ''"),
        ];
        foreach (var (given, text) in cases)
        {
            Assert.That(await _room.RefusalAsync(() => _room.BackupAsync(given)), Is.EqualTo(text));
        }

        Assert.That(_room.IsGraphAsBefore(), Is.True);
        Assert.That(_room.Turn(() => _room.Source.Bitmaps.Find("b0").IsBusy), Is.False);
    }

    [Test]
    public async Task A_target_in_use_by_a_backup_is_refused_to_another()
    {
        Gate gate = _room.Target.HoldWrite(0);
        BackupJob job = await _room.BackupAsync();
        await gate.Reached;
        Task<string> refusal = _room.RefusalAsync(() => _room.BackupAsync(_room.BackupOptions with { JobId = "c" }));
        gate.Open();
        Assert.That(await refusal, Is.EqualTo("Node 'dst' is busy: block device is in use by block job: backup"));
        await job.Gone;
    }

    [Test]
    public async Task The_target_holds_the_instant_whatever_the_guest_writes_and_however_often_doors_close([Values(1, 2, 3, 4, 5, 6)] int seed)
    {
        _room.Source.IsAsynchronous = _room.Target.IsAsynchronous = true;
        var twin = new WritingGuest(_room, seed);
        BackupJob job = await _room.BackupAsync();
        for (int i = 0; i < 10 && !job.Gone.IsCompleted; i++)
        {
            await twin.WriteAsync(10);
            await _room.DrainedAsync(() => { });
        }

        await job.Gone;
        Assert.That(job.Error, Is.Null, $"seed {seed}");
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_before), Is.True, $"seed {seed}");
        Assert.That(_room.Source.Bytes.AsSpan().SequenceEqual(twin.Expected), Is.True, $"seed {seed}");
    }

    [Test]
    public async Task A_chain_of_incremental_backups_with_errors_and_cancels_loses_no_write([Values(1, 2, 3, 4, 5, 6)] int seed)
    {
        // The target must equal the source at the instant of the last good backup, and the bitmap must hold every write since.
        _room.Source.IsAsynchronous = _room.Target.IsAsynchronous = true;
        _before.CopyTo(_room.Target.Bytes, 0);
        DirtyBitmap bitmap = Bitmap();
        var random = new Random(seed);
        var lockRandom = new Lock();
        int odds = 0;
        _room.Target.Fail = (_, _, _) =>
        {
            lock (lockRandom)
            {
                return odds > 0 && random.Next(odds) == 0 ? Errno.EIO : 0;
            }
        };
        var twin = new WritingGuest(_room, seed);
        for (int round = 0; round < 15; round++)
        {
            await twin.WriteAsync(5);
            byte[] instant = _room.Source.Snapshot();
            odds = random.Next(2) * 8;
            bool cancel = random.Next(4) == 0;
            BackupJob job = await _room.BackupAsync(_room.BackupOptions with { Sync = MirrorSyncMode.Incremental, Bitmap = "b0", AutoDismiss = false });
            Task writes = twin.WriteAsync(5);
            if (cancel && !job.Concluded.IsCompleted)
            {
                await _room.TurnAsync(() => job.Status is JobStatus.Running or JobStatus.Paused ? job.CancelAsync(true) : Task.CompletedTask);
            }

            await Task.WhenAll(job.Concluded, writes);
            if (job.Error is null)
            {
                Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(instant), Is.True, $"seed {seed}, round {round}");
            }

            _room.Turn(job.Dismiss);
            AssertDifferencesAreDirty(bitmap, $"seed {seed}, round {round}");
        }
    }

    /// <summary>Every cluster in which the source differs from the target is dirty: a next backup would make them equal.</summary>
    private void AssertDifferencesAreDirty(DirtyBitmap bitmap, string message)
    {
        for (int cluster = 0; cluster < _before.Length / Cluster; cluster++)
        {
            Range range = (cluster * Cluster)..((cluster + 1) * Cluster);
            bool differs = !_room.Source.Bytes.AsSpan(range).SequenceEqual(_room.Target.Bytes.AsSpan(range));
            Assert.That(!differs || _room.Source.Bitmaps.IsDirty(bitmap, cluster * Cluster, (cluster + 1) * Cluster, out _), Is.True, $"{message}, cluster {cluster}");
        }
    }

    private DirtyBitmap Bitmap() => _room.Turn(() => _room.Source.Bitmaps.Add("b0", Cluster));

    private int[] Areas(DirtyBitmap bitmap)
    {
        var clusters = new List<int>();
        for (long start = 0; _room.Source.Bitmaps.NextDirtyArea(bitmap, start, _before.Length, Cluster, out long offset, out long length); start = offset + length)
        {
            clusters.Add((int)(offset / Cluster));
        }

        return [.. clusters];
    }
}
