using System.Net.Sockets;
using System.Text.Json.Nodes;
using NUnit.Framework;
using QmpShell;
using Unit.Qmp;

namespace Unit.Shell;

/// <summary>The client and the shell against a real server.</summary>
public sealed class QmpClientTests
{
    private QmpTestServer _server = null!;

    [SetUp]
    public void Start() => _server = new QmpTestServer();

    [TearDown]
    public void Stop() => _server.Dispose();

    [Test]
    public async Task Commands_are_answered_with_values_or_errors()
    {
        await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse(_server.Path));
        Assert.That(client.Greeting.GetProperty("capabilities")[0].GetString(), Is.EqualTo("oob"));
        await client.NegotiateAsync("oob");
        var value = await client.ExecuteAsync("echo", new JsonObject { ["value"] = "é" });
        Assert.That(value.GetString(), Is.EqualTo("é"));
        var error = await Assert.ThrowsAsync<QmpErrorException>(() => client.ExecuteAsync("refuse"));
        Assert.That(error!.ErrorClass, Is.EqualTo("DeviceNotFound"));
    }

    [Test]
    public async Task A_reply_finds_its_request_when_it_overtakes()
    {
        await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse(_server.Path));
        await client.NegotiateAsync("oob");
        var waiting = client.ExecuteAsync("wait");
        await _server.Started.WaitAsync();
        var overtaking = await client.SendAsync(new JsonObject { ["exec-oob"] = "ping", ["id"] = new JsonArray(1, "é") });
        Assert.That(overtaking.GetProperty("return").EnumerateObject(), Is.Empty);
        Assert.That(waiting.IsCompleted, Is.False);
        _server.Waiters.Release();
        await waiting;
    }

    [Test]
    public async Task A_closed_connection_fails_what_waits()
    {
        await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse(_server.Path));
        await client.NegotiateAsync();
        await Assert.ThrowsAsync<QmpErrorException>(() => client.ExecuteAsync("break"));
        await client.Closed;
        await Assert.ThrowsAsync<IOException>(() => client.ExecuteAsync("ping"));
    }

    [Test]
    public async Task Nobody_listening_is_an_error() =>
        await Assert.ThrowsAsync<SocketException>(() => QmpClient.ConnectAsync(QmpAddress.Parse(_server.Path + ".no")));

    [Test]
    public async Task A_script_prints_each_reply_and_goes_on_after_an_error()
    {
        var (code, printed) = await RunAsync(new ShellOptions(), "# comment", "", "echo value=[1,2]", "refuse", "ping x", "ping");
        Assert.That(code, Is.Zero);
        Assert.That(printed, Is.EqualTo(new[]
        {
            "{\"return\":[1,2]}",
            "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"no 'é'\"}}",
            "expected 'key=value', got 'x'",
            "{\"return\":{}}",
        }));
    }

    [Test]
    public async Task A_script_may_stop_at_its_first_failure()
    {
        var (code, printed) = await RunAsync(new ShellOptions { StopOnError = true, Verbose = true }, "refuse", "ping");
        Assert.That(code, Is.EqualTo(1));
        Assert.That(printed, Has.Count.EqualTo(2));
        Assert.That(printed[0], Does.Contain("\"execute\":\"refuse\""));
    }

    [Test]
    public async Task A_script_may_negotiate_by_itself()
    {
        var (_, printed) = await RunAsync(new ShellOptions { SkipNegotiation = true }, "ping", "qmp_capabilities", "ping");
        Assert.That(printed[0], Does.Contain("CommandNotFound"));
        Assert.That(printed[1..], Is.All.EqualTo("{\"return\":{}}"));
    }

    [Test]
    public async Task Events_are_printed_in_the_order_they_came()
    {
        var (_, printed) = await RunAsync(new ShellOptions { Pretty = true }, "ping", "EMIT", "ping");
        Assert.That(printed[0], Is.EqualTo("{\n  \"return\": {}\n}"));
        Assert.That(printed[1], Does.Contain("\"event\": \"X\""));
        Assert.That(printed, Has.Count.EqualTo(3));
    }

    private async Task<(int Code, List<string> Printed)> RunAsync(ShellOptions options, params string[] lines)
    {
        await using var client = await QmpClient.ConnectAsync(QmpAddress.Parse(_server.Path));
        var printed = new List<string>();
        var shell = new QmpShell.Shell(client, options, (text, _) => printed.Add(text));
        await shell.StartAsync();
        int next = 0;
        int code = await shell.RunAsync(_ =>
        {
            if (next < lines.Length && lines[next] == "EMIT")
            {
                _server.Events.Emit("X", new TextEvent("t"));
                next++;
            }

            return next < lines.Length ? lines[next++] : null;
        });
        return (code, printed);
    }
}
