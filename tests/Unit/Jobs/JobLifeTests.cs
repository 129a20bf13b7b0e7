using Monitor.Block;
using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Jobs;

public sealed class JobLifeTests
{
    private JobRoom _room = null!;

    [SetUp]
    public void SetUp() => _room = new JobRoom();

    [TearDown]
    public void TearDown() => _room.Dispose();

    [Test]
    public async Task A_job_that_succeeds_waits_pends_concludes_and_vanishes()
    {
        TestJob job = Start();
        job.Finish();
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "j created", "j running", "j waiting", "j pending", "j concluded", "j null" }));
        Assert.That(job.Ends, Is.EqualTo(new[] { "commit", "clean" }));
        Assert.That(_room.Turn(() => _room.Jobs.Jobs.Count), Is.Zero);
    }

    [Test]
    public async Task A_job_that_fails_aborts_and_keeps_its_error()
    {
        TestJob job = Start(autoDismiss: false);
        job.Finish(new BlockIoException(Errno.ENOSPC));
        await job.Concluded;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "j created", "j running", "j aborting", "j concluded" }));
        Assert.That(_room.Turn(() => _room.Jobs.QueryJobs()[0].Error), Is.EqualTo("No space left on device"));
        Assert.That(job.Ends, Is.EqualTo(new[] { "abort", "clean" }));
        _room.Turn(job.Dismiss);
        Assert.That(_room.Events.Short()[^1], Is.EqualTo("j null"));
    }

    [Test]
    public async Task A_job_with_manual_finalize_pends_until_it_is_finalized()
    {
        TestJob job = Start(autoFinalize: false, autoDismiss: false);
        job.Finish();
        await _room.Events.SeenAsync("j pending");
        Assert.That(_room.Refusal(job.Dismiss), Is.EqualTo("Job 'j' in state 'pending' cannot accept command verb 'dismiss'"));
        await _room.TurnAsync(job.FinalizeAsync);
        Assert.That(job.Status, Is.EqualTo(JobStatus.Concluded));
        Assert.That(_room.Refusal(() => _ = job.FinalizeAsync()), Is.EqualTo("Job 'j' in state 'concluded' cannot accept command verb 'finalize'"));
    }

    [Test]
    public async Task A_cancel_in_pending_cancels()
    {
        TestJob job = Start(autoFinalize: false, autoDismiss: false);
        job.Finish();
        await _room.Events.SeenAsync("j pending");
        await _room.TurnAsync(() => job.CancelAsync(force: false));
        Assert.That(_room.Events.Short()[^2..], Is.EqualTo(new[] { "j aborting", "j concluded" }));
        Assert.That(job.Error, Is.EqualTo("Operation canceled"));
    }

    [Test]
    public async Task A_failing_final_change_fails_the_job()
    {
        TestJob job = Start(prepareFailure: new QmpException("no"), autoDismiss: false);
        job.Finish();
        await job.Concluded;
        Assert.That(_room.Events.Short()[2..], Is.EqualTo(new[] { "j waiting", "j pending", "j aborting", "j concluded" }));
        Assert.That((job.Error, job.Ends), Is.EqualTo(("no", new List<string> { "abort", "clean" })));
    }

    [Test]
    public void A_second_pause_or_a_resume_without_one_is_refused()
    {
        TestJob job = Start();
        Assert.That(_room.Refusal(job.Resume), Is.EqualTo("Can't resume a job that was not paused"));
        _room.Turn(job.Pause);
        Assert.That(_room.Refusal(job.Pause), Is.EqualTo("Job is already paused"));
        _room.Turn(job.Resume);
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "j created", "j running", "j paused", "j running" }));
        job.Finish();
    }

    [Test]
    public void Pauses_nest_and_show_once()
    {
        TestJob job = Start();
        _room.Turn(job.Halt);
        _room.Turn(job.Pause);
        _room.Turn(job.Halt);
        _room.Turn(job.Unhalt);
        _room.Turn(job.Resume);
        Assert.That(_room.Events.Short()[^1], Is.EqualTo("j paused"));
        _room.Turn(job.Unhalt);
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "j created", "j running", "j paused", "j running" }));
        job.Finish();
    }

    [Test]
    public async Task A_job_that_ends_while_paused_shows_it_after_resume()
    {
        TestJob job = Start();
        await job.Begun.Task;
        _room.Turn(job.Pause);
        job.Finish();
        await job.BodyLeftAsync(_room);
        Assert.That(job.Status, Is.EqualTo(JobStatus.Paused));
        _room.Turn(job.Resume);
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[]
        {
            "j created", "j running", "j paused", "j running", "j waiting", "j pending", "j concluded", "j null",
        }));
    }

    [Test]
    public async Task A_cancelled_job_that_the_user_paused_runs_and_aborts()
    {
        TestJob job = Start();
        _room.Turn(job.Pause);
        await _room.TurnAsync(() => job.CancelAsync(force: true));
        await job.Gone;
        Assert.That(_room.Events.Short(), Is.EqualTo(new[]
        {
            "j created", "j running", "j paused", "j running", "j aborting", "j concluded", "j null",
        }));
    }

    [Test]
    public async Task A_ready_job_stands_by_while_paused_and_completes_after_resume()
    {
        TestJob job = Start(becomesReady: true);
        await job.IsReadyNow.Task;
        _room.Turn(job.Pause);
        _room.Turn(job.Complete);
        await job.BodyLeftAsync(_room);
        Assert.That(job.Status, Is.EqualTo(JobStatus.Standby));
        _room.Turn(job.Resume);
        await job.Gone;
        Assert.That(_room.Events.Short()[2..], Is.EqualTo(new[]
        {
            "j ready", "j standby", "j ready", "j waiting", "j pending", "j concluded", "j null",
        }));
    }

    [Test]
    public void Verbs_are_refused_in_the_wrong_status()
    {
        TestJob job = Start();
        Assert.Multiple(() =>
        {
            Assert.That(_room.Refusal(job.Complete), Is.EqualTo("Job 'j' in state 'running' cannot accept command verb 'complete'"));
            Assert.That(_room.Refusal(job.Dismiss), Is.EqualTo("Job 'j' in state 'running' cannot accept command verb 'dismiss'"));
            Assert.That(_room.Refusal(() => _ = job.FinalizeAsync()), Is.EqualTo("Job 'j' in state 'running' cannot accept command verb 'finalize'"));
        });
        job.Finish();
    }

    [TestCase("", "Invalid job ID ''")]
    [TestCase("j!", "Invalid job ID 'j!'")]
    [TestCase("j", "Job ID 'j' already in use")]
    public void A_bad_id_is_refused_and_nobody_hears_of_the_job(string id, string text)
    {
        TestJob job = Start();
        Assert.That(_room.Refusal(() => _ = new TestJob(_room.Jobs, new JobSettings { JobId = id })), Is.EqualTo(text));
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "j created", "j running" }));
        job.Finish();
    }

    [Test]
    public void An_unknown_job_is_reported_as_each_family_of_commands_does()
    {
        Assert.That(_room.Refusal(() => _room.Jobs.Get("x")), Is.EqualTo("Job not found"));
        QmpException e = Assert.Throws<QmpException>(() => _room.Jobs.GetBlockJob("x"))!;
        Assert.That((e.ErrorClass, e.Message), Is.EqualTo((QmpErrorClass.DeviceNotActive, "Block job 'x' not found")));
    }

    [Test]
    public async Task A_create_job_stays_until_dismissed_and_keeps_the_error()
    {
        ImageJob job = _room.Turn(() => ImageJob.Start(_room.Jobs, JobType.Create, "c", () => throw new QmpException("Could not create 'x'")));
        await job.Concluded;
        JobInfo info = _room.Turn(() => _room.Jobs.QueryJobs()[0]);
        Assert.That((info.CurrentProgress, info.TotalProgress, info.Error), Is.EqualTo((1L, 1L, "Could not create 'x'")));
        Assert.That(_room.Events.Short(), Is.EqualTo(new[] { "c created", "c running", "c aborting", "c concluded" }));
        Assert.That(_room.Turn(() => _room.Jobs.QueryBlockJobs().Count), Is.Zero);
        _room.Turn(job.Dismiss);
    }

    [Test]
    public async Task Quit_ends_and_forgets_every_job_whatever_its_status()
    {
        TestJob running = Start("running");
        TestJob paused = Start("paused");
        TestJob pending = Start("pending", autoFinalize: false, autoDismiss: false);
        TestJob concluded = Start("concluded", autoDismiss: false);
        TestJob created = _room.Turn(() => new TestJob(_room.Jobs, new JobSettings { JobId = "created" }));
        _room.Turn(paused.Pause);
        pending.Finish();
        concluded.Finish();
        await concluded.Concluded;
        await _room.Events.SeenAsync("pending pending");
        Task quit = _room.TurnAsync(_room.Jobs.CancelAllAsync);
        _room.Turn(created.Start);
        await quit;
        Assert.That(_room.Turn(() => _room.Jobs.Jobs.Count), Is.Zero);
        Assert.That(running.Error, Is.EqualTo("Operation canceled"));
    }

    private TestJob Start(
        string id = "j", bool autoFinalize = true, bool autoDismiss = true, bool becomesReady = false, Exception? prepareFailure = null) =>
        _room.Turn(() =>
        {
            var job = new TestJob(_room.Jobs, new JobSettings { JobId = id, AutoFinalize = autoFinalize, AutoDismiss = autoDismiss })
            {
                BecomesReady = becomesReady,
                PrepareFailure = prepareFailure,
            };
            job.Start();
            return job;
        });
}
