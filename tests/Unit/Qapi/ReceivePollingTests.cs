using Monitor.Qapi;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Qapi;

public sealed class ReceivePollingTests
{
    private static readonly TimeSpan s_soon = TimeSpan.FromMicroseconds(30);
    private static readonly TimeSpan s_late = TimeSpan.FromMilliseconds(1);

    private readonly ManualTime _time = new();

    [SetUp]
    public void NeedTwoProcessors() => Assume.That(Environment.ProcessorCount, Is.GreaterThan(1));

    [Test]
    public void A_thread_looks_for_input_only_while_requests_follow_each_other_quickly()
    {
        var polling = new ReceivePolling(_time);
        Assert.That(polling.IsLooking, Is.False, "at first");
        Receive(polling, s_late);
        Assert.That(polling.IsLooking, Is.False, "after a pause");
        Receive(polling, s_soon);
        Assert.That(polling.IsLooking, Is.True, "after a quick request");
        Receive(polling, s_soon);
        Assert.That(polling.IsLooking, Is.True, "after another");
    }

    [Test]
    public void A_look_ends_and_the_next_wait_begins_with_sleep()
    {
        var polling = new ReceivePolling(_time);
        Receive(polling, s_soon);
        polling.Begin();
        for (int looks = 0; polling.IsLooking; looks++)
        {
            Assert.That(looks, Is.LessThan(10), "a look that does not end");
            _time.Advance(s_soon);
            polling.LookAgain();
        }

        polling.End();
        Assert.That(polling.IsLooking, Is.False);
    }

    [Test]
    public void Looks_in_vain_become_rarer_and_one_that_finds_something_makes_up_for_them()
    {
        var polling = new ReceivePolling(_time);
        int[] pauses = [.. Enumerable.Range(0, 5).Select(_ => LookInVain(polling))];
        Assert.That(pauses, Is.EqualTo(new[] { 1, 2, 3, 5, 9 }), "quick requests before the look");
        while (!polling.IsLooking)
        {
            Receive(polling, s_soon);
        }

        Receive(polling, s_soon);
        Assert.That(polling.IsLooking, Is.True);
        Assert.That(LookInVain(polling), Is.Zero, "it was looking");
        Assert.That(LookInVain(polling), Is.EqualTo(2), "as after the first");
    }

    /// <summary>Sends quick requests until the thread looks, then one that comes too late.</summary>
    /// <returns>How many there were.</returns>
    private int LookInVain(ReceivePolling polling)
    {
        int requests = 0;
        for (; !polling.IsLooking; requests++)
        {
            Receive(polling, s_soon);
        }

        polling.Begin();
        while (polling.IsLooking)
        {
            _time.Advance(s_soon);
            polling.LookAgain();
        }

        polling.End();
        return requests;
    }

    private void Receive(ReceivePolling polling, TimeSpan after)
    {
        polling.Begin();
        _time.Advance(after);
        polling.End();
    }
}
