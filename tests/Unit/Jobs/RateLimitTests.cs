using Monitor.Jobs;
using NUnit.Framework;

namespace Unit.Jobs;

public sealed class RateLimitTests
{
    private readonly ManualTime _time = new();

    [Test]
    public void Work_is_paid_for_before_the_next_begins()
    {
        var limit = new RateLimit(_time);
        limit.SetSpeed(1000);
        Assert.That(limit.WaitAsync(default).AsTask().IsCompleted, Is.True);
        limit.Account(2000);
        Task next = limit.WaitAsync(default).AsTask();
        _time.Advance(TimeSpan.FromSeconds(1.9));
        Assert.That(next.IsCompleted, Is.False);
        _time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.That(next.Wait(TimeSpan.FromSeconds(60)), Is.True);
    }

    [Test]
    public void A_new_speed_acts_at_once()
    {
        var limit = new RateLimit(_time);
        limit.SetSpeed(1);
        limit.Account(1_000_000);
        Task next = limit.WaitAsync(default).AsTask();
        Assert.That(next.IsCompleted, Is.False);
        limit.SetSpeed(0);
        Assert.That(next.Wait(TimeSpan.FromSeconds(60)), Is.True);
    }

    [Test]
    public void A_cancel_ends_the_wait()
    {
        var limit = new RateLimit(_time);
        limit.SetSpeed(1);
        limit.Account(1_000_000);
        using var cancellation = new CancellationTokenSource();
        Task next = limit.WaitAsync(cancellation.Token).AsTask();
        cancellation.Cancel();
        Assert.That(async () => await next, Throws.InstanceOf<OperationCanceledException>());
    }
}
