using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Jobs;

public sealed class BitmapPopulateJobTests
{
    private const int Cluster = JobRoom.Cluster;
    private const int Size = 1 << 20;

    private JobRoom _room = null!;
    private DirtyBitmap _bitmap = null!;

    private NodeBitmaps Bitmaps => _room.Source.Bitmaps;

    [SetUp]
    public void SetUp()
    {
        _room = new JobRoom(Size);
        _bitmap = Bitmaps.Add("b0", Cluster);
    }

    [TearDown]
    public void TearDown() => _room.Dispose();

    [Test]
    public async Task What_is_allocated_becomes_dirty_at_the_end_and_the_bitmap_is_free_again()
    {
        BitmapPopulateJob job = await StartAsync();
        await job.Gone;
        Assert.Multiple(() =>
        {
            Assert.That(_room.Events.Short(), Is.EqualTo(
                new[] { "p created", "p running", "p waiting", "p pending", "BLOCK_JOB_COMPLETED", "p concluded", "p null" }));
            Assert.That(
                _room.Events.Data("BLOCK_JOB_COMPLETED"),
                Is.EqualTo("""{"type":"bitmap-populate","device":"p","len":1048576,"offset":1048576,"speed":0}"""));
            Assert.That(Bitmaps.CountDirtyBytes(_bitmap), Is.EqualTo(Size));
            Assert.That(_bitmap.IsBusy, Is.False);
            Assert.That(_room.IsGraphAsBefore(), Is.True);
        });
    }

    [Test]
    public async Task Meanwhile_the_bitmap_is_busy_and_records_the_guests_writes()
    {
        _room.Source.FailMap = _ => Errno.EIO;
        BitmapPopulateJob job = await StartAsync(BlockdevOnError.Stop);
        await _room.Events.SeenAsync("p paused");
        await _room.Guest.WriteAsync(5 * Cluster, new byte[1]);
        Assert.Multiple(() =>
        {
            Assert.That(() => Bitmaps.Clear(_bitmap), Throws.TypeOf<QmpException>()
                .With.Message.EqualTo("Bitmap 'b0' is currently in use by another operation and cannot be used"));
            Assert.That(() => Bitmaps.PrepareRemove(_bitmap), Throws.TypeOf<QmpException>());
            Assert.That(_room.Refusal(() => BitmapPopulateJob.Prepare(_room.Jobs, Options("p2"))), Does.Contain("currently in use"));
            Assert.That(_bitmap.IsRecording, Is.True);
            Assert.That(Bitmaps.CountDirtyBytes(_bitmap), Is.EqualTo(Cluster));
        });
        await _room.TurnAsync(() => job.CancelAsync(force: true));
        await job.Gone;
        Assert.That(Bitmaps.DirtyRanges(_bitmap, 0, 10, out _), Is.EqualTo(new[] { (5L * Cluster, (long)Cluster) }));
        Assert.That(_bitmap.IsBusy, Is.False);
    }

    [Test]
    public async Task A_job_that_fails_half_way_sets_no_bit()
    {
        var half = new GatedNode("half", Size, isAllocated: false);
        _room.Turn(() => _room.Add(half));
        await half.WriteAsync(0, new byte[Cluster]);
        DirtyBitmap bitmap = half.Bitmaps.Add("b0", Cluster);
        half.FailMap = offset => offset > 0 ? Errno.EIO : 0;
        BitmapPopulateJob job = await StartAsync(Options("p") with { Node = half, Bitmap = bitmap });
        await job.Gone;
        Assert.Multiple(() =>
        {
            Assert.That(job.Error, Is.EqualTo("Input/output error"));
            Assert.That(half.Bitmaps.CountDirtyBytes(bitmap), Is.Zero);
            Assert.That(bitmap.IsBusy, Is.False);
            Assert.That(half.Parents, Is.Empty);
        });
    }

    [Test]
    public async Task With_on_error_stop_it_goes_on_where_it_stopped()
    {
        _room.Source.FailMap = _ => Errno.EIO;
        BitmapPopulateJob job = await StartAsync(BlockdevOnError.Stop);
        await _room.Events.SeenAsync("p paused");
        Assert.That(_room.Events.Data("BLOCK_JOB_ERROR"), Is.EqualTo("""{"device":"p","operation":"read","action":"stop"}"""));
        _room.Source.FailMap = _ => 0;
        _room.Turn(job.Resume);
        await job.Gone;
        Assert.That(Bitmaps.CountDirtyBytes(_bitmap), Is.EqualTo(Size));
    }

    [Test]
    public async Task An_error_that_follows_the_cancel_does_not_pause_the_job_for_ever()
    {
        Task cancel = Task.CompletedTask;
        BitmapPopulateJob? job = null;
        using var isMade = new ManualResetEventSlim();
        _room.Source.FailMap = _ =>
        {
            isMade.Wait();
            cancel = _room.Turn(() => job!.CancelAsync(force: true));
            return Errno.EIO;
        };
        job = await StartAsync(BlockdevOnError.Stop);
        isMade.Set();
        await job.Gone.WaitAsync(TimeSpan.FromSeconds(60));
        await cancel;
        Assert.That(_room.Events.Short(), Does.Contain("BLOCK_JOB_CANCELLED").And.No.Member("p paused"));
    }

    [Test]
    public async Task A_job_made_but_never_started_leaves_the_bitmap_free()
    {
        await _room.TurnAsync(async () =>
        {
            using GraphChange change = await _room.Graph.ChangeAsync();
            await BitmapPopulateJob.Prepare(_room.Jobs, Options("p")).AbandonAsync();
        });
        Assert.Multiple(() =>
        {
            Assert.That(_bitmap.IsBusy, Is.False);
            Assert.That(_room.Jobs.Jobs, Is.Empty);
            Assert.That(_room.Source.Parents, Has.Count.EqualTo(1));
        });
    }

    private BitmapPopulateOptions Options(string id) => new() { JobId = id, Node = _room.Source, Bitmap = _bitmap };

    private Task<BitmapPopulateJob> StartAsync(BlockdevOnError onError = BlockdevOnError.Report) =>
        StartAsync(Options("p") with { OnSourceError = onError });

    private Task<BitmapPopulateJob> StartAsync(BitmapPopulateOptions options) => _room.Loop.RunAsync(async () =>
    {
        using GraphChange change = await _room.Graph.ChangeAsync();
        BitmapPopulateJob job = BitmapPopulateJob.Prepare(_room.Jobs, options);
        job.Start();
        return job;
    });
}
