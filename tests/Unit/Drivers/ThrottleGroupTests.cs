using Monitor.Block.Throttling;
using Monitor.Qapi;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Drivers;

/// <summary>Rates and bursts on a clock that only the test moves, to the millisecond (the timers' unit).</summary>
public sealed class ThrottleGroupTests
{
    private readonly ManualTime _time = new();

    [TestCase(10)]
    [TestCase(100)]
    [TestCase(1000)]
    public void Requests_pass_at_the_rate_exactly(int rate)
    {
        ThrottleGroup group = Group(new ThrottleLimits { IopsTotal = rate });
        var member = new ThrottleMember(group);
        List<ValueTask> requests = Ask(member, 20 * rate);

        // A tenth of a second's worth passes at once, and the request that finds room overfills the bucket.
        int atOnce = (rate / 10) + 1;
        Assert.That(Passed(requests), Is.EqualTo(atOnce));
        for (int second = 1; second <= 5; second++)
        {
            Advance(1000);
            Assert.That(Passed(requests), Is.EqualTo(atOnce + (second * rate)));
        }
    }

    [Test]
    public void Bytes_count_by_their_number()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { BpsTotal = 1 << 20 }));
        List<ValueTask> requests = Ask(member, 100, bytes: 64 << 10);
        int atOnce = Passed(requests);

        Advance(2000);

        Assert.That(Passed(requests) - atOnce, Is.EqualTo(32));
    }

    [Test]
    public void A_burst_lasts_as_long_as_it_may_and_then_the_rate_holds()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { IopsTotal = 100, IopsTotalMax = 1000, IopsTotalMaxLength = 2 }));
        List<ValueTask> requests = Ask(member, 5000);

        // The bucket of 2,000 fills at 1,000 a second and leaks 100 a second meanwhile.
        Assert.That(Passed(requests), Is.EqualTo(101));
        Advance(1000);
        Assert.That(Passed(requests), Is.EqualTo(1101));
        Advance(1000);
        Assert.That(Passed(requests), Is.EqualTo(2101));
        Advance(1000);
        int afterBurst = Passed(requests);
        Assert.That(afterBurst, Is.InRange(2300, 2301));
        Advance(1000);
        Assert.That(Passed(requests), Is.InRange(2400, 2401));
    }

    [Test]
    public void After_a_pause_the_burst_is_there_again()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { IopsTotal = 10, IopsTotalMax = 100 }));
        Assert.That(Passed(Ask(member, 101)), Is.EqualTo(101));
        Advance(10_100);

        Assert.That(Passed(Ask(member, 200)), Is.EqualTo(101));
    }

    [Test]
    public void Large_requests_count_as_several()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { IopsTotal = 100, IopsSize = 4096 }));
        List<ValueTask> requests = Ask(member, 100, bytes: 5 * 4096);
        int atOnce = Passed(requests);

        Advance(1000);

        Assert.That(Passed(requests) - atOnce, Is.EqualTo(20));
    }

    [Test]
    public void Reads_and_writes_have_limits_of_their_own()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { IopsRead = 10 }));
        List<ValueTask> reads = Ask(member, 20);

        Assert.That(Passed(reads), Is.EqualTo(2));
        Assert.That(Passed(Ask(member, 20, isWrite: true)), Is.EqualTo(20));
    }

    [Test]
    public void Reads_and_writes_share_a_total()
    {
        var member = new ThrottleMember(Group(new ThrottleLimits { IopsTotal = 100 }));
        List<ValueTask> reads = Ask(member, 500);
        List<ValueTask> writes = Ask(member, 500, isWrite: true);
        int atOnce = Passed(reads) + Passed(writes);

        Advance(2000);

        // Each direction has its own timer, and one that rings early lets one request pass a moment before its time.
        Assert.That(Passed(reads) + Passed(writes) - atOnce, Is.InRange(199, 201));
    }

    [Test]
    public void Members_share_a_group_in_turn()
    {
        ThrottleGroup group = Group(new ThrottleLimits { IopsTotal = 10 });
        List<ValueTask>[] requests = [.. Enumerable.Range(0, 4).Select(_ => Ask(new ThrottleMember(group), 100))];
        int[] before = [.. requests.Select(Passed)];

        Advance(2000);

        Assert.That(requests.Select((r, i) => Passed(r) - before[i]), Is.All.EqualTo(5));
    }

    [Test]
    public void Who_is_suspended_waits_for_nothing_and_the_others_pay_for_it()
    {
        ThrottleGroup group = Group(new ThrottleLimits { IopsTotal = 10 });
        var drained = new ThrottleMember(group);
        List<ValueTask> waiting = Ask(drained, 12);
        List<ValueTask> others = Ask(new ThrottleMember(group), 3);
        Assert.That(Passed(waiting), Is.EqualTo(2));

        drained.Suspend();
        Assert.That(Passed(waiting), Is.EqualTo(12));
        Assert.That(Passed(Ask(drained, 1)), Is.EqualTo(1));
        drained.Resume();

        // 13 requests have passed, the bucket holds one: 12 leak in 1.2 s.
        Assert.That(Passed(others), Is.Zero);
        Advance(1100);
        Assert.That(Passed(others), Is.Zero);
        Advance(100);
        Assert.That(Passed(others), Is.EqualTo(1));
    }

    [Test]
    public void New_limits_hold_at_once_for_those_who_wait()
    {
        ThrottleGroup group = Group(new ThrottleLimits { IopsTotal = 1 });
        List<ValueTask> requests = Ask(new ThrottleMember(group), 100);
        Assert.That(Passed(requests), Is.EqualTo(1));

        group.Configuration = Limits(new ThrottleLimits { IopsTotal = 10 });
        Assert.That(Passed(requests), Is.EqualTo(3));
        Advance(1000);
        Assert.That(Passed(requests), Is.EqualTo(13));

        group.Configuration = ThrottleConfiguration.Unlimited;
        Assert.That(Passed(requests), Is.EqualTo(100));
    }

    private static ThrottleConfiguration Limits(ThrottleLimits limits) =>
        new(ThrottleConfiguration.Merge(ThrottleConfiguration.Unlimited.Values, limits));

    private static List<ValueTask> Ask(ThrottleMember member, int count, bool isWrite = false, long bytes = 512) =>
        [.. Enumerable.Range(0, count).Select(_ => member.WaitAsync(isWrite, bytes))];

    private static int Passed(List<ValueTask> requests) => requests.Count(request => request.IsCompletedSuccessfully);

    private ThrottleGroup Group(ThrottleLimits limits) => new("g", _time) { Configuration = Limits(limits) };

    private void Advance(int milliseconds)
    {
        for (int i = 0; i < milliseconds; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }
    }
}
