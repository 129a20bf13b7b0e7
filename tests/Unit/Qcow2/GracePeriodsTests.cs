using Monitor.Block;
using Monitor.Block.Drivers;
using Monitor.Block.Drivers.Qcow2;
using NUnit.Framework;

namespace Unit.Qcow2;

/// <summary>A freed cluster is not given to somebody else while a request that looked it up is still inside.</summary>
public sealed class GracePeriodsTests
{
    [Test]
    public void Time_does_not_pass_a_request_that_was_inside_at_the_stamp()
    {
        var periods = new GracePeriods();
        int inside = periods.Enter();
        long stamp = periods.Stamp;
        Assert.That(periods.HasPassed(stamp), Is.False);
        int later = periods.Enter();
        Assert.That(periods.HasPassed(stamp), Is.False);
        periods.Exit(inside);
        Assert.That(periods.HasPassed(stamp), Is.True);
        periods.Exit(later);
    }

    [Test]
    public void Requests_that_came_later_do_not_hold_time_up()
    {
        var periods = new GracePeriods();
        int first = periods.Enter();
        long stamp = periods.Stamp;
        _ = periods.HasPassed(stamp);
        int later = periods.Enter();
        periods.Exit(first);
        Assert.That(periods.HasPassed(stamp), Is.True);
        long next = periods.Stamp;
        Assert.That(periods.HasPassed(next), Is.False);
        periods.Exit(later);
        Assert.That(periods.HasPassed(next), Is.True);
    }

    [Test]
    public async Task A_read_under_way_does_not_see_what_is_written_after_its_cluster_was_freed()
    {
        const int cluster = 65536;
        var storage = new StorageNode(await TestImage.CreateAsync(4 << 20));
        Qcow2Node node = await TestImage.OpenAsync(storage);
        byte[] before = Filled(cluster, 1);
        await node.WriteAsync(0, before);
        await node.FlushAsync();
        var gate = new TaskCompletionSource();
        storage.ReadGate = gate.Task;
        byte[] read = new byte[cluster];
        Task reading = node.ReadAsync(0, read).AsTask();
        storage.ReadGate = Task.CompletedTask;

        await node.DiscardAsync(0, cluster);
        await node.FlushAsync();
        await node.WriteAsync(1 << 20, Filled(cluster, 2));
        gate.SetResult();
        await reading;
        Assert.That(TestImage.FirstDifference(read, before), Is.EqualTo(-1));

        long length = storage.SizeBytes;
        await node.FlushAsync();
        await node.WriteAsync(2 << 20, Filled(cluster, 3));
        Assert.That(storage.SizeBytes, Is.EqualTo(length), "the freed cluster is used again");
        await node.CloseAsync();
        Assert.That(ImageChecker.Check(storage.Bytes).Corruptions, Is.Empty);
    }

    private static byte[] Filled(int length, byte value) => [.. Enumerable.Repeat(value, length)];
}
