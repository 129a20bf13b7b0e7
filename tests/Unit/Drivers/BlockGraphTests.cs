using Monitor.Block;
using NUnit.Framework;
using Unit.Jobs;

namespace Unit.Drivers;

public sealed class BlockGraphTests
{
    [Test]
    public async Task Who_lets_go_of_a_node_that_is_being_closed_waits_until_it_is()
    {
        using var graph = new TestGraph();
        var closing = new TaskCompletionSource();
        var node = new GatedNode("n", 65536) { Closing = closing.Task };
        Task first = Task.CompletedTask;
        Task second = Task.CompletedTask;
        graph.Turn(() => graph.Graph.Add(node));
        graph.Turn(() => first = graph.Graph.ReleaseAsync(node).AsTask());
        graph.Turn(() => second = graph.Graph.ReleaseAsync(node).AsTask());
        Assert.That(second.IsCompleted, Is.False, "its file may still be locked");
        closing.SetResult();
        await Task.WhenAll(first, second);
    }
}
