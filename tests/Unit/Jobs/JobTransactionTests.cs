using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Jobs;

public sealed class JobTransactionTests
{
    private JobRoom _room = null!;
    private JobTransaction _transaction = null!;

    [SetUp]
    public void SetUp()
    {
        _room = new JobRoom();
        _transaction = new JobTransaction();
    }

    [TearDown]
    public void TearDown() => _room.Dispose();

    [Test]
    public async Task A_job_that_is_done_waits_for_the_other_and_both_end_newest_first()
    {
        (TestJob a, TestJob b) = StartBoth();
        b.Finish();
        await _room.Events.SeenAsync("B waiting");
        a.Finish();
        await Task.WhenAll(a.Gone, b.Gone);
        Assert.That(_room.Events.Short()[4..], Is.EqualTo(new[]
        {
            "B waiting", "A waiting", "B pending", "A pending", "B concluded", "B null", "A concluded", "A null",
        }));
    }

    [Test]
    public async Task One_failure_cancels_the_job_that_waits()
    {
        (TestJob a, TestJob b) = StartBoth();
        b.Finish();
        await _room.Events.SeenAsync("B waiting");
        a.Finish(new BlockIoException(Errno.EIO));
        await Task.WhenAll(a.Gone, b.Gone);
        Assert.That(_room.Events.Short()[5..], Is.EqualTo(new[]
        {
            "A aborting", "B aborting", "B concluded", "B null", "A concluded", "A null",
        }));
        Assert.That((a.Error, b.Error), Is.EqualTo(("Input/output error", "Operation canceled")));
    }

    [Test]
    public async Task Cancelling_the_job_that_waits_cancels_the_one_that_runs()
    {
        (TestJob a, TestJob b) = StartBoth();
        b.Finish();
        await _room.Events.SeenAsync("B waiting");
        await _room.TurnAsync(() => b.CancelAsync(force: true));
        await Task.WhenAll(a.Gone, b.Gone);
        Assert.That(_room.Events.Short()[5..], Is.EqualTo(new[]
        {
            "B aborting", "B concluded", "B null", "A aborting", "A concluded", "A null",
        }));
    }

    [Test]
    public async Task Finalizing_one_finalizes_both_and_one_manual_job_holds_the_group()
    {
        (TestJob a, TestJob b) = StartBoth(manualA: true);
        a.Finish();
        b.Finish();
        await _room.Events.SeenAsync("A pending");
        Assert.That(b.Status, Is.EqualTo(JobStatus.Pending));
        await _room.TurnAsync(b.FinalizeAsync);
        Assert.That(_room.Events.Short()[^4..], Is.EqualTo(new[] { "B concluded", "B null", "A concluded", "A null" }));
    }

    [Test]
    public async Task A_job_abandoned_before_its_start_takes_its_siblings_along()
    {
        (TestJob a, TestJob b) = Make();
        await _room.TurnAsync(a.AbandonAsync);
        await _room.TurnAsync(b.AbandonAsync);
        Assert.That(_room.Events.Short(), Is.EqualTo(new[]
        {
            "A created", "B created", "A aborting", "B aborting", "B concluded", "B null", "A concluded", "A null",
        }));
        Assert.That((a.Ends, b.Ends), Is.EqualTo((new List<string> { "undo", "clean" }, new List<string> { "undo", "clean" })));
    }

    private (TestJob A, TestJob B) Make(bool manualA = false) => _room.Turn(() => (
        new TestJob(_room.Jobs, new JobSettings { JobId = "A", Transaction = _transaction, AutoFinalize = !manualA }),
        new TestJob(_room.Jobs, new JobSettings { JobId = "B", Transaction = _transaction })));

    private (TestJob A, TestJob B) StartBoth(bool manualA = false)
    {
        (TestJob a, TestJob b) = Make(manualA);
        _room.Turn(a.Start);
        _room.Turn(b.Start);
        return (a, b);
    }
}
