using Monitor.Block;
using Monitor.Block.Drivers.Filters;
using Monitor.Block.Throttling;
using Monitor.Qapi;
using NUnit.Framework;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Drivers;

public sealed class ThrottleNodeTests : LayerContract
{
    [Test]
    public async Task A_drain_lets_go_what_is_held_back()
    {
        BlockNode node = await OpenAsync();
        Limit("g", new ThrottleLimits { IopsTotal = 1, BpsTotal = 1 });
        BlockBackend door = Graph.AttachRoot(node, BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);
        List<Task> requests = [.. Enumerable.Range(0, 50).Select(i => door.WriteAsync(i * 4096, Filled(4096, 1)).AsTask())];
        requests.Add(door.ReadAsync(0, new byte[4096]).AsTask());
        requests.Add(door.WriteZeroesAsync(0, 4096).AsTask());
        requests.Add(door.DiscardAsync(0, 4096).AsTask());
        Assert.That(requests.Count(request => request.IsCompleted), Is.EqualTo(1));

        await Graph.Loop.RunAsync(async () =>
        {
            using DrainedSection section = await Graph.Graph.DrainAsync(node);
            Assert.That(door.InFlight, Is.Zero);
        });

        await Task.WhenAll(requests);
        Assert.That(door.WriteAsync(0, new byte[1]).AsTask().IsCompleted, Is.False, "afterwards the limits hold again");
        Limit("g", new ThrottleLimits { IopsTotal = 0, BpsTotal = 0 });
    }

    [Test]
    public async Task Flushes_and_the_map_are_never_held_back()
    {
        BlockNode node = await OpenAsync();
        Limit("g", new ThrottleLimits { BpsTotal = 1 });
        await node.WriteAsync(0, new byte[4096]);

        await node.FlushAsync();
        Assert.That((await node.MapAsync(0, 4096)).Length, Is.EqualTo(4096));
        Assert.That(node.ReadAsync(0, new byte[1]).AsTask().IsCompleted, Is.False);
    }

    [Test]
    public async Task A_closed_node_leaves_its_group()
    {
        BlockNode node = await OpenAsync();
        ThrottleGroup group = Graph.Graph.ThrottleGroups.Find("g")!;
        Assert.That(group.IsInUse);

        await node.CloseAsync();

        Assert.That(group.IsInUse, Is.False);
    }

    protected override async ValueTask<BlockNode> OpenOverAsync(BlockNodeSettings settings, BlockNode medium)
    {
        Graph.Graph.ThrottleGroups.Add("g");
        Limit("g", new ThrottleLimits { IopsTotal = 100_000_000 });
        var node = new ThrottleNode(settings, "g", Graph.Graph.ThrottleGroups);
        Graph.Attach(node, medium, "file", BlockChildRole.Filtered | BlockChildRole.Primary);
        await node.OpenAsync();
        return node;
    }

    private void Limit(string name, ThrottleLimits limits)
    {
        ThrottleGroup group = Graph.Graph.ThrottleGroups.Find(name)!;
        group.Configuration = new ThrottleConfiguration(ThrottleConfiguration.Merge(group.Configuration.Values, limits));
    }
}
