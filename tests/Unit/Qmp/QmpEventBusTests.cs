using NUnit.Framework;

namespace Unit.Qmp;

public sealed class QmpEventBusTests
{
    private ManualTime _time = null!;

    private QmpTestServer _server = null!;

    [SetUp]
    public void Start()
    {
        _time = new ManualTime();
        _server = new QmpTestServer(_time);
    }

    [TearDown]
    public void Stop() => _server.Dispose();

    [Test]
    public void An_event_is_stamped_and_reaches_every_negotiated_session()
    {
        using var silent = _server.Connect();
        silent.ReadLine();
        using var first = _server.ConnectNegotiated();
        using var second = _server.ConnectNegotiated();
        first.Ask("{\"execute\":\"ping\"}");
        second.Ask("{\"execute\":\"ping\"}");
        _server.Events.Emit("X", new TextEvent("é"));
        const string Event = "{\"timestamp\": {\"seconds\": 100, \"microseconds\": 7}, \"event\": \"X\", \"data\": {\"text\": \"\\u00E9\"}}";
        Assert.That(first.ReadLine(), Is.EqualTo(Event));
        Assert.That(second.ReadLine(), Is.EqualTo(Event));
        Assert.That(silent.Ask("{}"), Does.Contain("lacks member"));
    }

    [Test]
    public void An_event_without_data_has_no_data_member()
    {
        using var client = Negotiated();
        _server.Events.Emit<TextEvent>("X", null);
        Assert.That(client.ReadLine(), Is.EqualTo("{\"timestamp\": {\"seconds\": 100, \"microseconds\": 7}, \"event\": \"X\"}"));
    }

    [Test]
    public void Events_of_several_threads_reach_all_sessions_in_one_order()
    {
        using var first = Negotiated();
        using var second = Negotiated();
        Parallel.For(0, 500, i => _server.Events.Emit("X", new TextEvent($"{i}")));
        string[] one = [.. Enumerable.Range(0, 500).Select(_ => first.ReadLine())];
        string[] two = [.. Enumerable.Range(0, 500).Select(_ => second.ReadLine())];
        Assert.That(two, Is.EqualTo(one));
        Assert.That(one, Is.Unique);
    }

    [Test]
    public void A_limited_event_is_sent_at_once_and_then_the_last_one_each_second()
    {
        using var client = Negotiated();
        foreach (string text in new[] { "1", "2", "3" })
        {
            _server.Events.Emit("QUORUM_FAILURE", new TextEvent(text));
        }

        Assert.That(client.ReadLine(), Does.Contain("\"1\""));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(client.ReadLine(), Does.Contain("\"3\""));
        _time.Advance(TimeSpan.FromSeconds(2));
        _server.Events.Emit("QUORUM_FAILURE", new TextEvent("4"));
        Assert.That(client.ReadLine(), Does.Contain("\"4\""));
        _server.Events.Emit("OTHER", new TextEvent("5"));
        Assert.That(client.ReadLine(), Does.Contain("\"5\""));
    }

    [Test]
    public void Limited_events_of_different_nodes_do_not_displace_each_other()
    {
        using var client = Negotiated();
        foreach (string node in new[] { "a", "b", "a", "b" })
        {
            _server.Events.Emit("QUORUM_REPORT_BAD", new TextEvent(node, "node-name"));
        }

        Assert.That(client.ReadLine(), Does.Contain("\"a\""));
        Assert.That(client.ReadLine(), Does.Contain("\"b\""));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(new[] { client.ReadLine(), client.ReadLine() }, Has.One.Contains("\"a\"").And.One.Contains("\"b\""));
    }

    [Test]
    public void A_reader_that_never_reads_blocks_nobody_and_is_closed_at_64_MiB()
    {
        using var slow = Negotiated();
        using var live = Negotiated();
        var text = new TextEvent(new string('x', 1 << 20));
        for (int i = 0; i < 70; i++)
        {
            _server.Events.Emit("X", text);
            Assert.That(live.ReadLine(), Has.Length.GreaterThan(1 << 20));
        }

        byte[] received = slow.ReadToEnd();
        Assert.That(received, Has.Length.LessThan(65 << 20));
        Assert.That(live.Ask("{\"execute\":\"ping\"}"), Is.EqualTo("{\"return\": {}}"));
    }

    private QmpTestClient Negotiated()
    {
        var client = _server.ConnectNegotiated();
        client.Ask("{\"execute\":\"ping\"}");
        return client;
    }
}
