using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Jobs;

public sealed class MirrorJobTests
{
    private const int Cluster = JobRoom.Cluster;

    private static readonly string[] s_toReady = ["m created", "m running", "m ready", "BLOCK_JOB_READY"];
    private static readonly string[] s_completed = ["m waiting", "m pending", "BLOCK_JOB_COMPLETED", "m concluded", "m null"];
    private static readonly string[] s_cancelled = ["m aborting", "BLOCK_JOB_CANCELLED", "m concluded", "m null"];

    private JobRoom _room = null!;

    [SetUp]
    public void SetUp()
    {
        _room = new JobRoom();
        _room.Source.Fill(new Random(1));
        Array.Fill(_room.Target.Bytes, (byte)0xFF);
    }

    [TearDown]
    public void TearDown() => _room.Dispose();

    [Test]
    public async Task A_completed_mirror_pivots_the_guest_to_an_equal_target()
    {
        MirrorJob job = await ReadyAsync();
        Assert.That(_room.Turn(() => _room.Guest.Node.DriverName), Is.EqualTo("mirror_top"));
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_toReady.Concat(s_completed)));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Target));
        Assert.That(_room.Target.FlushesSeen, Is.Positive);
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [Test]
    public async Task The_events_carry_type_device_length_offset_and_speed()
    {
        MirrorJob job = await ReadyAsync();
        _room.Turn(job.Complete);
        await job.Gone;
        const string Data = """{"type":"mirror","device":"m","len":1048576,"offset":1048576,"speed":0}""";
        Assert.That((_room.Events.Data("BLOCK_JOB_READY"), _room.Events.Data("BLOCK_JOB_COMPLETED")), Is.EqualTo((Data, Data)));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_sparse_source_makes_a_target_full_of_ones_equal(bool targetIsZero)
    {
        using var room = new JobRoom(isSourceAllocated: false);
        Array.Fill(room.Target.Bytes, targetIsZero ? (byte)0 : (byte)0xFF);
        await room.Guest.WriteAsync(3 * Cluster, Enumerable.Repeat((byte)7, 100).ToArray());
        MirrorJob job = await room.MirrorAsync(room.MirrorOptions with { TargetIsZero = targetIsZero });
        await room.Events.SeenAsync("m ready");
        Assert.That(room.Target.Bytes.AsSpan().SequenceEqual(room.Source.Bytes), Is.True);
        Assert.That(room.Target.WritesSeen, Is.EqualTo(1));
        Assert.That(room.Target.ZeroWritesSeen, targetIsZero ? Is.Zero : Is.InRange(2, 4));
        await room.TurnAsync(() => job.CancelAsync(force: true));
        await job.Gone;
    }

    [Test]
    public async Task A_long_zero_run_is_zeroed_in_few_writes()
    {
        using var room = new JobRoom(32 << 20, isSourceAllocated: false);
        Array.Fill(room.Target.Bytes, (byte)0xFF);
        await room.Guest.WriteAsync(20 << 20, new byte[] { 1 });
        await room.MirrorAsync();
        await room.Events.SeenAsync("m ready");
        Assert.That(room.Target.Bytes.AsSpan().SequenceEqual(room.Source.Bytes), Is.True);
        Assert.That(room.Target.ZeroWritesSeen, Is.LessThan(20), "of 128 chunks");
    }

    [Test]
    public async Task Sync_none_copies_only_what_is_written_later()
    {
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { Sync = MirrorSyncMode.None });
        Assert.That(_room.Events.Data("BLOCK_JOB_READY"), Does.Contain("\"len\":0,\"offset\":0"));
        await _room.Guest.WriteAsync(Cluster, new byte[] { 1, 2, 3 });
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Target.Bytes[Cluster..(2 * Cluster)], Is.EqualTo(_room.Source.Bytes[Cluster..(2 * Cluster)]));
        Assert.That(_room.Target.Bytes[..Cluster], Is.All.EqualTo(0xFF));
    }

    [Test]
    public async Task A_write_while_its_range_is_being_copied_is_copied_again()
    {
        Gate read = _room.Source.HoldRead(0);
        Gate write = _room.Target.HoldWrite(0);
        read.Open();
        MirrorJob job = await _room.MirrorAsync();
        await write.Reached;
        await _room.Guest.WriteAsync(10, new byte[] { 42 });
        write.Open();
        await _room.Events.SeenAsync("m ready");
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Target.Bytes[10], Is.EqualTo(42));
    }

    [Test]
    public async Task A_soft_cancel_of_a_ready_mirror_completes_without_pivot()
    {
        MirrorJob job = await ReadyAsync();
        await _room.Guest.WriteAsync(0, new byte[] { 1 });
        await _room.TurnAsync(() => job.CancelBlockJobAsync(force: false));
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_toReady.Concat(s_completed)));
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Source));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [Test]
    public async Task A_forced_cancel_of_a_ready_mirror_is_reported_as_cancelled()
    {
        MirrorJob job = await ReadyAsync();
        await _room.TurnAsync(() => job.CancelAsync(force: true));
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_toReady.Concat(s_cancelled)));
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Source));
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task A_cancel_before_ready_is_a_cancel_with_force_or_without(bool force)
    {
        Gate gate = _room.Target.HoldWrite(0);
        MirrorJob job = await _room.MirrorAsync();
        await gate.Reached;
        await _room.TurnAsync(() => job.CancelBlockJobAsync(force));
        Assert.That(job.Status, Is.EqualTo(JobStatus.Running), "a started write finishes");
        gate.Open();
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "m created", "m running" }.Concat(s_cancelled)));
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [Test]
    public async Task A_paused_mirror_copies_nothing_and_wants_force_to_be_cancelled()
    {
        Gate gate = _room.Target.HoldWrite(0);
        MirrorJob job = await _room.MirrorAsync(_room.MirrorOptions with { BufferSizeBytes = Cluster });
        await gate.Reached;
        _room.Turn(job.Pause);
        gate.Open();
        Assert.That(_room.Refusal(() => _ = job.CancelBlockJobAsync(force: false)), Is.EqualTo("The block job for device 'm' is currently paused"));
        Assert.That(_room.Turn(() => job.ToBlockJobInfo().Paused), Is.True);
        _room.Turn(job.Resume);
        await _room.Events.SeenAsync("m ready");
        Assert.That(_room.Events.Short()[..5], Is.EqualTo(new[] { "m created", "m running", "m paused", "m running", "m ready" }));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task Closed_doors_show_as_a_pause_and_the_job_goes_on_after_them()
    {
        MirrorJob job = await ReadyAsync();
        await _room.DrainedAsync(() => { });
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(s_toReady.Concat(["m standby", "m ready"]).Concat(s_completed)));
    }

    [Test]
    public async Task Manual_finalize_pivots_only_then_and_loses_no_write_before()
    {
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { AutoFinalize = false, AutoDismiss = false });
        _room.Turn(job.Complete);
        await _room.Events.SeenAsync("BLOCK_JOB_PENDING");
        await _room.Guest.WriteAsync(5, new byte[] { 99 });
        await _room.TurnAsync(job.FinalizeAsync);
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Target));
        Assert.That(_room.Target.Bytes[5], Is.EqualTo(99));
        Assert.That(_room.Events.Short()[4..], Is.EqualTo(new[] { "m waiting", "m pending", "BLOCK_JOB_PENDING", "BLOCK_JOB_COMPLETED", "m concluded" }));
    }

    [Test]
    public async Task An_error_with_policy_report_fails_the_job()
    {
        FailOnce(_room.Target, isRead: false, Errno.ENOSPC);
        MirrorJob job = await _room.MirrorAsync();
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[]
        {
            "m created", "m running", "BLOCK_JOB_ERROR", "m aborting", "BLOCK_JOB_COMPLETED", "m concluded", "m null",
        }));
        Assert.That(_room.Events.Data("BLOCK_JOB_ERROR"), Is.EqualTo("""{"device":"m","operation":"write","action":"report"}"""));
        Assert.That(_room.Events.Data("BLOCK_JOB_COMPLETED"), Does.EndWith(""","error":"No space left on device"}"""));
        Assert.That(_room.IsGraphAsBefore(), Is.True);
    }

    [Test]
    public async Task An_ignored_error_is_retried_until_nothing_is_dirty()
    {
        FailOnce(_room.Source, isRead: true, Errno.EIO);
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { OnSourceError = BlockdevOnError.Ignore });
        Assert.That(_room.Events.Data("BLOCK_JOB_ERROR"), Is.EqualTo("""{"device":"m","operation":"read","action":"ignore"}"""));
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
        await _room.TurnAsync(() => job.CancelAsync(force: true));
    }

    [TestCase(BlockdevOnError.Stop, Errno.EIO, BlockDeviceIoStatus.Failed)]
    [TestCase(BlockdevOnError.Stop, Errno.ENOSPC, BlockDeviceIoStatus.Nospace)]
    [TestCase(BlockdevOnError.Enospc, Errno.ENOSPC, BlockDeviceIoStatus.Nospace)]
    public async Task A_stopping_error_pauses_with_an_io_status_until_resume(BlockdevOnError policy, int errno, BlockDeviceIoStatus status)
    {
        FailOnce(_room.Target, isRead: false, errno);
        MirrorJob job = await _room.MirrorAsync(_room.MirrorOptions with { OnTargetError = policy });
        await _room.Events.SeenAsync("m paused");
        Assert.That(_room.Turn(() => job.ToBlockJobInfo().IoStatus), Is.EqualTo(status));
        _room.Turn(job.Resume);
        await _room.Events.SeenAsync("m ready");
        Assert.That(_room.Turn(() => job.ToBlockJobInfo().IoStatus), Is.EqualTo(BlockDeviceIoStatus.Ok));
        Assert.That(_room.Events.Short()[..6], Is.EqualTo(new[] { "m created", "m running", "BLOCK_JOB_ERROR", "m paused", "m running", "m ready" }));
    }

    [Test]
    public async Task Write_blocking_mirrors_a_write_before_it_is_acknowledged_and_leaves_it_clean()
    {
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { CopyMode = MirrorCopyMode.WriteBlocking });
        _room.Turn(job.Pause);
        await _room.Guest.WriteAsync(Cluster + 7, new byte[] { 1, 2, 3 });
        Assert.That(_room.Target.Bytes[(Cluster + 7)..(Cluster + 10)], Is.EqualTo(new byte[] { 1, 2, 3 }));
        Assert.That(_room.Source.Bitmaps.List()[0].CountBytes, Is.Zero);
    }

    [Test]
    public async Task A_background_mirror_changed_to_write_blocking_mirrors_the_next_write_before_it_is_acknowledged()
    {
        MirrorJob job = await ReadyAsync();
        _room.Turn(job.Pause);
        await _room.Guest.WriteAsync(0, new byte[] { 4 });
        _room.Turn(() => job.Change(ChangeTo(MirrorCopyMode.WriteBlocking)));
        _room.Turn(() => job.Change(ChangeTo(MirrorCopyMode.WriteBlocking)));
        await _room.Guest.WriteAsync(Cluster + 7, new byte[] { 1, 2, 3 });
        Assert.That(_room.Target.Bytes[(Cluster + 7)..(Cluster + 10)], Is.EqualTo(new byte[] { 1, 2, 3 }));
        Assert.That(_room.Source.Bitmaps.List()[0].CountBytes, Is.EqualTo(Cluster), "what was written before the change is still to be copied");
        _room.Turn(job.Resume);
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task A_change_that_does_not_fit_the_job_is_refused()
    {
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { CopyMode = MirrorCopyMode.WriteBlocking, AutoFinalize = false });
        string Refusal(BlockJobChangeOptions options) => Assert.Throws<QmpException>(() => _room.Turn(() => job.Change(options)))!.Message;
        Assert.That(Refusal(ChangeTo(MirrorCopyMode.Background)), Is.EqualTo("Change to copy mode 'background' is not implemented"));
        Assert.That(Refusal(new BlockJobChangeOptions { Id = "m", Type = JobType.Backup }), Is.EqualTo("Job 'm' is 'mirror' job, not 'backup'"));
        _room.Turn(job.Complete);
        await _room.Events.SeenAsync("m pending");
        Assert.That(Refusal(ChangeTo(MirrorCopyMode.WriteBlocking)), Is.EqualTo("Job 'm' in state 'pending' cannot accept command verb 'change'"));
        await _room.Loop.RunAsync(job.FinalizeAsync);
        await job.Gone;
    }

    [Test]
    public async Task Write_blocking_keeps_a_granule_dirty_that_was_dirty_and_is_written_in_part()
    {
        using var room = new JobRoom(4 * Cluster);
        room.Source.Fill(new Random(2));
        Gate gate = room.Target.HoldWrite(0);
        MirrorJob job = await room.MirrorAsync(room.MirrorOptions with { CopyMode = MirrorCopyMode.WriteBlocking, BufferSizeBytes = Cluster, SpeedBytesPerSecond = 1 });
        await gate.Reached;
        room.Turn(job.Pause);
        await room.Guest.WriteAsync((3 * Cluster) + 7, new byte[] { 1, 2, 3 });
        gate.Open();
        Assert.That(room.Source.Bitmaps.List()[0].CountBytes, Is.GreaterThanOrEqualTo(Cluster));
        room.Turn(() => job.SetSpeed(0));
        room.Turn(job.Resume);
        await room.Events.SeenAsync("m ready");
        Assert.That(room.Target.Bytes.AsSpan().SequenceEqual(room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task Phase_1_and_a_mirrored_write_in_the_same_granule_do_not_miss_each_other()
    {
        // The write looks at the granule, which is clean, before phase 1 makes it dirty.
        Gate gate = _room.Source.HoldWrite(7);
        Task write = Task.CompletedTask;
        MirrorJob job = await _room.Loop.RunAsync(async () =>
        {
            using GraphChange change = await _room.Graph.ChangeAsync();
            MirrorJob started = await MirrorJob.StartAsync(_room.Jobs, _room.MirrorOptions with { CopyMode = MirrorCopyMode.WriteBlocking });
            started.Pause();
            return started;
        });
        write = _room.Guest.WriteAsync(7, new byte[] { 1, 2, 3 }).AsTask();
        await gate.Reached;
        _room.Turn(job.Resume);
        gate.Open();
        await write;
        await _room.Events.SeenAsync("m ready");
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task A_failing_mirrored_write_stays_dirty_and_the_guest_does_not_notice()
    {
        MirrorJob job = await ReadyAsync(_room.MirrorOptions with { CopyMode = MirrorCopyMode.WriteBlocking, OnTargetError = BlockdevOnError.Ignore });
        FailOnce(_room.Target, isRead: false, Errno.EIO);
        await _room.Guest.WriteAsync(0, new byte[] { 1, 2, 3 });
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(_room.Source.Bytes), Is.True);
    }

    [Test]
    public async Task A_target_of_another_size_fails_the_job()
    {
        GatedNode small = _room.Turn(() =>
        {
            var node = new GatedNode("small", Cluster);
            _room.Add(node);
            return node;
        });
        MirrorJob job = await _room.MirrorAsync(_room.MirrorOptions with { Target = small });
        await job.Gone;
        Assert.That(_room.Events.Data("BLOCK_JOB_COMPLETED"), Does.Contain("\"len\":0,\"offset\":0"));
        Assert.That(job.Error, Is.EqualTo("Source and target image have different sizes"));
    }

    [Test]
    public async Task What_does_not_fit_is_refused_and_the_graph_stays()
    {
        MirrorOptions options = _room.MirrorOptions;
        (MirrorOptions Options, string Text)[] cases =
        [
            (options with { JobId = "" }, "Invalid job ID ''"),
            (options with { Target = _room.Source }, "Can't mirror node into itself"),
            (options with { Sync = MirrorSyncMode.Incremental }, "Sync mode 'incremental' not supported"),
            (options with { Sync = MirrorSyncMode.Bitmap }, "Sync mode 'bitmap' not supported"),
            (options with { GranularityBytes = 100 }, "Parameter 'granularity' expects a value in range [512B, 64MB]"),
            (options with { GranularityBytes = 128 << 20 }, "Parameter 'granularity' expects a value in range [512B, 64MB]"),
            (options with { GranularityBytes = 5000 }, "Parameter 'granularity' expects a power of 2"),
            (options with { SpeedBytesPerSecond = -1 }, "Parameter 'speed' expects a non-negative value"),
            (options with { BufferSizeBytes = -1 }, "Invalid parameter 'buf-size'"),
            (options with { Replaces = "nope" }, "Failed to find node with node-name='nope'"),
            (options with { Replaces = "dst" }, "Cannot replace 'dst' by a node mirrored from 'src', because it cannot be guaranteed that doing so would not lead to an abrupt change of visible data"),
            (options with { FilterNodeName = "src" }, "Duplicate nodes with node-name='src'"),
            (options with { FilterNodeName = "" }, "Invalid node-name: ''"),
        ];
        foreach (var (given, text) in cases)
        {
            Assert.That(await _room.RefusalAsync(() => _room.MirrorAsync(given)), Is.EqualTo(text));
        }

        Assert.That(_room.IsGraphAsBefore(), Is.True);
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "m created", "m null" }), "only a bad speed is noticed after the job was made");
    }

    [Test]
    public async Task A_node_in_use_by_a_job_is_refused_to_another()
    {
        await ReadyAsync();
        string text = await _room.RefusalAsync(() => _room.BackupAsync());
        Assert.That(text, Is.EqualTo("Node 'src' is busy: block device is in use by block job: mirror"));
        Assert.That(await _room.RefusalAsync(() => _room.MirrorAsync(_room.MirrorOptions with { JobId = "n" })), Is.EqualTo(text));
    }

    [Test]
    public async Task A_pivot_that_permissions_forbid_fails_the_job_and_leaves_the_guest_at_the_source()
    {
        MirrorJob job = await ReadyAsync();
        var jealous = new BlockBackend("jealous");
        _room.Turn(() => _room.Graph.AttachRoot(jealous, _room.Target, BlockPermission.None, BlockPermission.All & ~BlockPermission.ConsistentRead, staysAtNode: true));
        _room.Turn(job.Complete);
        await job.Gone;
        Assert.That(job.Error, Does.StartWith("Permission conflict on node 'dst'"));
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Source));
    }

    [Test]
    public async Task A_guest_that_keeps_writing_cannot_put_completion_off([Values] MirrorCopyMode mode, [Values(1, 2, 3)] int seed)
    {
        _room.Source.IsAsynchronous = _room.Target.IsAsynchronous = true;
        using var stop = new CancellationTokenSource();
        MirrorJob job = await _room.MirrorAsync(_room.MirrorOptions with { CopyMode = mode });
        var twin = new WritingGuest(_room, seed);
        Task writing = twin.WriteUntilAsync(stop.Token);
        await _room.Events.SeenAsync("m ready");
        _room.Turn(job.Complete);
        await job.Gone.WaitAsync(TimeSpan.FromSeconds(60));
        await stop.CancelAsync();
        await writing;
        Assert.That(_room.Guest.Node, Is.SameAs(_room.Target), $"seed {seed}");
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(twin.Expected), Is.True, $"seed {seed}");
    }

    [Test]
    public async Task Errors_at_random_places_and_drained_edits_lose_nothing([Values] MirrorCopyMode mode, [Values(1, 2, 3, 4)] int seed)
    {
        _room.Source.IsAsynchronous = _room.Target.IsAsynchronous = true;
        var random = new Random(seed);
        var lockRandom = new Lock();
        _room.Target.Fail = (_, _, _) =>
        {
            lock (lockRandom)
            {
                return random.Next(5) == 0 ? Errno.EIO : 0;
            }
        };
        MirrorJob job = await _room.MirrorAsync(_room.MirrorOptions with { CopyMode = mode, OnTargetError = BlockdevOnError.Ignore });
        var twin = new WritingGuest(_room, seed);
        for (int i = 0; i < 20; i++)
        {
            await twin.WriteAsync(20);
            await _room.DrainedAsync(() => { });
        }

        await _room.Events.SeenAsync("m ready");
        await twin.WriteAsync(50);
        _room.Turn(job.Complete);
        await job.Gone.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.That((job.Error, _room.Guest.Node), Is.EqualTo(((string?)null, (BlockNode)_room.Target)), $"seed {seed}");
        Assert.That(_room.Target.Bytes.AsSpan().SequenceEqual(twin.Expected), Is.True, $"seed {seed}");
    }

    [Test]
    public async Task A_size_of_no_whole_granules_is_copied_to_the_last_byte(
        [Values(0, 1536, JobRoom.Cluster + 1, (3 * JobRoom.Cluster) - 512)] int size, [Values] MirrorCopyMode mode)
    {
        using var room = new JobRoom(size);
        room.Source.Fill(new Random(size));
        Array.Fill(room.Target.Bytes, (byte)0xFF);
        MirrorJob job = await room.MirrorAsync(room.MirrorOptions with { CopyMode = mode, GranularityBytes = 4096 });
        await room.Events.SeenAsync("m ready");
        if (size > 0)
        {
            await room.Guest.WriteAsync(size - 1, new byte[] { 77 });
        }

        room.Turn(job.Complete);
        await job.Gone;
        Assert.That(job.Error, Is.Null);
        Assert.That(room.Target.Bytes, Is.EqualTo(room.Source.Bytes));
    }

    private static void FailOnce(GatedNode node, bool isRead, int errno)
    {
        int left = 1;
        node.Fail = (read, _, _) => read == isRead && Interlocked.Exchange(ref left, 0) == 1 ? errno : 0;
    }

    private static BlockJobChangeOptions ChangeTo(MirrorCopyMode mode) =>
        new() { Id = "m", Type = JobType.Mirror, Branch = new BlockJobChangeOptionsMirror { CopyMode = mode } };

    private async Task<MirrorJob> ReadyAsync(MirrorOptions? options = null)
    {
        MirrorJob job = await _room.MirrorAsync(options);
        await _room.Events.SeenAsync("BLOCK_JOB_READY");
        return job;
    }
}
