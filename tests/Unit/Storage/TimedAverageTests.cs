using Monitor.Storage.Drives;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Storage;

/// <summary>Averages over the last seconds, on a clock that only the test moves.</summary>
public sealed class TimedAverageTests
{
    private readonly ManualTime _time = new();

    [Test]
    public void Values_of_one_window_give_least_greatest_mean_and_load()
    {
        var average = new TimedAverage(_time, TimeSpan.FromSeconds(10));
        _time.Advance(TimeSpan.FromSeconds(1));
        average.Add(1_000_000_000);
        average.Add(3_000_000_000);
        Assert.That(average.Read(), Is.EqualTo((1_000_000_000L, 3_000_000_000L, 2_000_000_000L, 4.0 / 6)));
    }

    [Test]
    public void A_value_is_forgotten_after_a_period_and_not_before_half_of_it()
    {
        var average = new TimedAverage(_time, TimeSpan.FromSeconds(10));
        _time.Advance(TimeSpan.FromSeconds(6));
        average.Add(5);
        _time.Advance(TimeSpan.FromSeconds(3.9));
        Assert.That(average.Read().Greatest, Is.EqualTo(5));
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.That(average.Read().Greatest, Is.EqualTo(5));
        _time.Advance(TimeSpan.FromSeconds(5.2));
        Assert.That(average.Read(), Is.EqualTo(default((long, long, long, double))));
    }
}
