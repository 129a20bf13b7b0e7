using Monitor.Block;
using Monitor.Block.Drivers.Null;
using NUnit.Framework;

namespace Unit.Drivers;

public sealed class NullNodeTests
{
    private static readonly BlockNodeSettings s_settings = new() { NodeName = "n", DiscardUnmap = true };

    [Test]
    public void A_read_never_shows_what_the_buffer_held_before()
    {
        byte[] buffer = [1, 2, 3];

        ValueTask read = new NullNode(s_settings).ReadAsync(0, buffer);

        Assert.Multiple(() =>
        {
            Assert.That(read.IsCompletedSuccessfully);
            Assert.That(buffer, Is.All.Zero);
        });
    }

    [Test]
    public async Task With_read_zeroes_a_read_clears_the_buffer_and_all_maps_as_zero()
    {
        var node = new NullNode(s_settings, readZeroes: true);
        byte[] buffer = [1, 2, 3];

        await node.ReadAsync(0, buffer);

        Assert.That(buffer, Is.All.Zero);
        Assert.That(await node.MapAsync(0, node.SizeBytes), Is.EqualTo(new BlockMapping(BlockMappingKind.Zero, 1L << 30)));
    }

    [Test]
    public void The_size_is_whole_sectors() => Assert.That(new NullNode(s_settings, 1000).SizeBytes, Is.EqualTo(1024));

    [Test]
    public void With_a_latency_requests_do_not_complete_at_once() =>
        Assert.That(new NullNode(s_settings, latencyNanoseconds: 3_600_000_000_000).FlushAsync().AsTask().IsCompleted, Is.False);
}
