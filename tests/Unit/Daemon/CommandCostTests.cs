using System.Text;
using NUnit.Framework;

namespace Unit.Daemon;

/// <summary>What a command costs in allocated bytes: a figure that no busy machine changes.</summary>
public sealed class CommandCostTests
{
    [TestCase("query-version", 0, 200)]
    [TestCase("query-named-block-nodes", 50, 50 * 800)]
    [TestCase("query-blockstats", 50, 100)]
    [TestCase("query-block", 50, 100)]
    [TestCase("query-jobs", 50, 100)]
    [TestCase("query-block-jobs", 50, 100)]
    [TestCase("query-commands", 0, 100)]
    [TestCase("query-qmp-schema", 0, 100)]
    [TestCase("query-status", 0, 100)]
    public void A_query_allocates_little(string command, int nodes, long limit)
    {
        using var daemon = new InProcessDaemon();
        InProcessClient client = daemon.Connect();
        InProcessDaemon.AddNodes(client, nodes);
        byte[] request = Encoding.ASCII.GetBytes($"{{\"execute\":\"{command}\"}}");
        for (int i = 0; i < 10; i++)
        {
            client.Send(request);
        }

        client.TakeOutput();
        client.Send(request);
        TestContext.Out.WriteLine($"{command}: {client.AllocatedBytes} bytes allocated, {client.TakeOutput().Length} sent");
        Assert.That(client.AllocatedBytes, Is.LessThanOrEqualTo(limit));
    }

    [Test]
    public void A_huge_message_leaves_nothing_behind()
    {
        using var daemon = new InProcessDaemon();
        InProcessClient client = daemon.Connect();
        byte[] text = Encoding.ASCII.GetBytes("{\"execute\":\"job-pause\",\"arguments\":{\"id\":[\"" + new string('x', 40 << 20) + "\"]}}");
        long before = GC.GetTotalMemory(forceFullCollection: true);
        client.Send(text);
        Assert.That(client.TakeOutput(), Does.Contain("Invalid parameter type for 'id', expected: string"));
        Assert.That(GC.GetTotalMemory(forceFullCollection: false) - before, Is.LessThan(8 << 20));
    }
}
