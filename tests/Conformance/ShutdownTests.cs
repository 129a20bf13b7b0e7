using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The ends: of the daemon, and of clients in the middle of something.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ShutdownTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [TestCase("qmp-monitor")]
    [TestCase("qemu-system-x86_64")]
    public async Task Quit_is_told_to_the_client_before_it_is_answered(string program)
    {
        await using DaemonProcess daemon = program == "qmp-monitor"
            ? DaemonProcess.Start(_directory)
            : DaemonProcess.Start(program, _directory, "-nodefaults", "-display", "none", "-machine", "none");
        using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
        using var reader = new StreamReader(new NetworkStream(socket));
        await reader.ReadLineAsync();
        socket.Send("""{"execute": "qmp_capabilities"}"""u8);
        await reader.ReadLineAsync();
        socket.Send("""{"execute": "quit", "id": 7}"""u8);

        JsonNode told = JsonNode.Parse((await reader.ReadLineAsync())!)!;
        Assert.That((string?)told["event"], Is.EqualTo("SHUTDOWN"));
        Assert.That(told["data"]!.ToJsonString(), Is.EqualTo("""{"guest":false,"reason":"host-qmp-quit"}"""));
        Assert.That(await reader.ReadLineAsync(), Is.EqualTo("""{"return": {}, "id": 7}"""));
        Assert.That(await reader.ReadLineAsync(), Is.Null);
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
    }

    [TestCase("TERM")]
    [TestCase("INT")]
    [TestCase("HUP")]
    public async Task A_signal_is_told_to_every_client_and_leaves_nothing(string signal)
    {
        string pidFile = _directory.File("pid");
        string nbd = _directory.File("nbd");
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--pidfile", pidFile, "--nbd-server", $"addr.type=unix,addr.path={nbd}", "--qmp", $"unix:{_directory.File("second")}");
        using QmpTestClient first = await daemon.ConnectAsync();
        using var second = new QmpTestClient(await daemon.ConnectSocketAsync(_directory.File("second")));
        await second.NegotiateAsync();
        using Socket mute = await daemon.ConnectSocketAsync(daemon.QmpPath);
        Assert.That((await File.ReadAllTextAsync(pidFile)).Trim(), Is.EqualTo(daemon.Id.ToString(CultureInfo.InvariantCulture)));

        Tool.Run("kill", $"-{signal}", daemon.Id.ToString(CultureInfo.InvariantCulture));
        foreach (QmpTestClient client in new[] { first, second })
        {
            JsonObject data = await client.WaitEventAsync("SHUTDOWN");
            Assert.That(data.ToJsonString(), Is.EqualTo("""{"guest":false,"reason":"host-signal"}"""));
        }

        using var reader = new StreamReader(new NetworkStream(mute));
        string rest = await reader.ReadToEndAsync();
        Assert.That(rest.Split('\n', StringSplitOptions.RemoveEmptyEntries), Has.Length.EqualTo(1), "a client that has not negotiated gets the greeting only");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
        Assert.That(Directory.EnumerateFileSystemEntries(_directory.Path), Is.Empty);
    }

    /// <summary>So does whoever starts it in a script by <c>&amp;</c> or through nohup(1), and QEMU ends all the same.</summary>
    [TestCase("TERM")]
    [TestCase("INT")]
    [TestCase("HUP")]
    public async Task A_signal_ends_a_daemon_that_was_started_with_it_ignored(string signal)
    {
        string script = _directory.File("deaf");
        await File.WriteAllTextAsync(script, $"#!/bin/sh\ntrap '' TERM INT HUP\nexec {Repository.Daemon} \"$@\"\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        await using DaemonProcess daemon = DaemonProcess.Start(script, _directory);
        using QmpTestClient client = await daemon.ConnectAsync();
        Tool.Run("kill", $"-{signal}", daemon.Id.ToString(CultureInfo.InvariantCulture));
        await client.WaitEventAsync("SHUTDOWN");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
    }

    /// <summary>The session that ends by itself meets the end of the daemon: as often as not in the same instant.</summary>
    [Test]
    public void Input_that_ends_behind_quit_does_not_spoil_the_end()
    {
        string image = _directory.File("image.qcow2");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, "1M");
        for (int round = 0; round < 10; round++)
        {
            string add = $$$"""{"execute": "block-dirty-bitmap-add", "arguments": {"node": "n", "name": "b{{{round}}}", "persistent": true} }""";
            Tool.Run("bash", "-c", $$$"""echo '{"execute": "qmp_capabilities"} {{{add}}} {"execute": "quit"}' | {{{Repository.Daemon}}} --chardev stdio,id=c --monitor c --blockdev qcow2,node-name=n,file.driver=file,file.filename={{{image}}} 2>/dev/null""");
        }

        Assert.That(Regex.Count(Tool.Run("qemu-img", "info", "-f", "qcow2", image), "name: b"), Is.EqualTo(10), "a bitmap was not stored at the end");
    }

    [Test]
    public async Task Quit_ends_exports_and_jobs_after_it_is_told()
    {
        await using DaemonProcess daemon = await StartWithJobAsync();
        using QmpTestClient client = await daemon.ConnectAsync();
        await client.ExecuteAsync("nbd-server-start", $$"""{"addr": {"type": "unix", "data": {"path": "{{_directory.File("nbd")}}"} } }""");
        await client.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "target"}""");
        await client.ExecuteAsync("quit");
        await client.WaitEventAsync("JOB_STATUS_CHANGE", data => (string?)data["status"] == "null");

        string[] events = [.. client.EventsSeen.Select(e => (string)e["event"]!)];
        Assert.That(events[0], Is.EqualTo("SHUTDOWN"));
        Assert.That(events, Does.Contain("BLOCK_EXPORT_DELETED").And.Contain("BLOCK_JOB_CANCELLED"));
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
    }

    [Test]
    public async Task A_client_that_leaves_in_the_middle_of_a_message_harms_nobody()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient other = await daemon.ConnectAsync();
        foreach (string part in new[] { "{", """{"execute": "quit""", """{"execute": "qmp_capabilities"}{"execute": "quit", "arguments": {""", "\"", "\xff" })
        {
            using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
            await socket.SendAsync(Encoding.Latin1.GetBytes(part));
        }

        await other.ExecuteAsync("query-version");
        Assert.That(daemon.IsRunning, Is.True);
    }

    [Test]
    public async Task A_client_that_leaves_without_reading_its_replies_harms_nobody()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient other = await daemon.ConnectAsync();
        for (int i = 0; i < 5; i++)
        {
            using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
            string requests = """{"execute": "qmp_capabilities"}""" + string.Concat(Enumerable.Repeat("""{"execute": "query-qmp-schema"}""", 50));
            await socket.SendAsync(Encoding.UTF8.GetBytes(requests));
            socket.LingerState = new LingerOption(true, 0);
        }

        await other.ExecuteAsync("query-version");
        Assert.That(daemon.IsRunning, Is.True);
    }

    [Test]
    public async Task A_job_goes_on_when_its_client_has_left()
    {
        await using DaemonProcess daemon = await StartWithJobAsync();
        using QmpTestClient next = await daemon.ConnectAsync();
        Assert.That((string?)(await next.ExecuteAsync("query-jobs"))[0]!["status"], Is.EqualTo("running"));
        await next.ExecuteAsync("block-job-set-speed", """{"device": "job", "speed": 0}""");
        await next.WaitJobAsync("job", "concluded");
        Assert.That((await next.ExecuteAsync("query-jobs"))[0]!["error"], Is.Null);
    }

    /// <summary>A daemon with a slow job whose client has left.</summary>
    private async Task<DaemonProcess> StartWithJobAsync()
    {
        string source = _directory.File("source");
        await File.WriteAllBytesAsync(source, Enumerable.Repeat((byte)7, 4194304).ToArray());
        DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--blockdev", $"driver=file,node-name=source,filename={source}", "--blockdev", "driver=null-co,node-name=target,size=4194304");
        using QmpTestClient client = await daemon.ConnectAsync();
        await client.ExecuteAsync(
            "blockdev-backup", """{"job-id": "job", "device": "source", "target": "target", "sync": "full", "speed": 65536, "auto-dismiss": false}""");
        return daemon;
    }
}
