using Monitor.Qapi;
using Monitor.Storage.Drives;
using NUnit.Framework;

namespace Unit.Storage;

public sealed class LatencyHistogramTests
{
    [Test]
    public void A_bin_holds_what_lies_from_its_boundary_on_and_below_the_next()
    {
        LatencyHistogram histogram = LatencyHistogram.TryMake([10, 50, 100])!;
        foreach (ulong nanoseconds in new ulong[] { 0, 9, 10, 49, 50, 99, 100, 1000, ulong.MaxValue })
        {
            histogram.Count(nanoseconds);
        }

        BlockLatencyHistogramInfo info = histogram.Describe();
        Assert.That(info.Bins, Is.EqualTo(new ulong[] { 2, 2, 2, 3 }));
        Assert.That(info.Boundaries, Is.EqualTo(new ulong[] { 10, 50, 100 }));
    }

    [TestCase(0UL)]
    [TestCase(5UL, 5UL)]
    [TestCase(10UL, 5UL)]
    public void Boundaries_that_do_not_rise_from_above_0_make_none(params ulong[] boundaries) =>
        Assert.That(LatencyHistogram.TryMake(boundaries), Is.Null);

    [Test]
    public void No_boundaries_make_one_bin()
    {
        LatencyHistogram histogram = LatencyHistogram.TryMake([])!;
        histogram.Count(7);
        Assert.That(histogram.Describe().Bins, Is.EqualTo(new ulong[] { 1 }));
    }
}
