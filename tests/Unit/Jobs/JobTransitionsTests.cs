using Monitor.Jobs;
using Monitor.Qapi;
using NUnit.Framework;

namespace Unit.Jobs;

public sealed class JobTransitionsTests
{
    private static readonly JobStatus[] s_all = Enum.GetValues<JobStatus>();

    [TestCase("undefined", "created")]
    [TestCase("created", "running aborting null")]
    [TestCase("running", "paused ready waiting aborting")]
    [TestCase("paused", "running")]
    [TestCase("ready", "standby waiting aborting")]
    [TestCase("standby", "ready")]
    [TestCase("waiting", "pending aborting")]
    [TestCase("pending", "aborting concluded")]
    [TestCase("aborting", "aborting concluded")]
    [TestCase("concluded", "null")]
    [TestCase("null", "")]
    public void A_status_is_followed_by_these_and_no_others(string from, string next)
    {
        JobStatus status = s_all.Single(s => s.ToWire() == from);
        string allowed = string.Join(' ', s_all.Where(to => JobTransitions.IsAllowed(status, to)).Select(to => to.ToWire()).Order());
        Assert.That(allowed, Is.EqualTo(string.Join(' ', next.Split(' ').Order())));
    }

    [TestCase(JobVerb.Cancel, "cancel", "created running paused ready standby waiting pending")]
    [TestCase(JobVerb.Pause, "pause", "created running paused ready standby")]
    [TestCase(JobVerb.Resume, "resume", "created running paused ready standby")]
    [TestCase(JobVerb.SetSpeed, "set-speed", "created running paused ready standby")]
    [TestCase(JobVerb.Change, "change", "created running paused ready standby")]
    [TestCase(JobVerb.Complete, "complete", "ready standby")]
    [TestCase(JobVerb.Finalize, "finalize", "pending")]
    [TestCase(JobVerb.Dismiss, "dismiss", "concluded")]
    public void A_verb_is_taken_in_these_statuses_and_no_others(JobVerb verb, string wire, string statuses)
    {
        string takers = string.Join(' ', s_all.Where(status => JobTransitions.Takes(status, verb)).Select(status => status.ToWire()));
        Assert.That((verb.ToWire(), takers), Is.EqualTo((wire, statuses)));
    }
}
