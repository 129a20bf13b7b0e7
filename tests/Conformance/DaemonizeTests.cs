using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Going to the background, as process managers see it.</summary>
public sealed class DaemonizeTests
{
    [Test]
    public async Task The_command_returns_when_the_socket_listens_and_the_pidfile_stands()
    {
        using var directory = new TemporaryDirectory();
        string pidFile = directory.File("pid");

        // The tool reads the daemon's stderr to its end: it would wait for ever if the daemon kept it.
        Tool.Run(Repository.Daemon, "--daemonize", "--pidfile", pidFile, "--qmp", $"unix:{directory.File("qmp")}");

        int id = int.Parse(Tool.Run("cat", pidFile), CultureInfo.InvariantCulture);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(directory.File("qmp")));
        using var client = new QmpTestClient(socket);
        await client.NegotiateAsync();
        Assert.That(Tool.Run("ps", "-o", "sid=", "-p", $"{id}").Trim(), Is.EqualTo($"{id}"), "leads a session of its own");
        Assert.That(new DirectoryInfo($"/proc/{id}/cwd").LinkTarget, Is.EqualTo("/"));
        Assert.That(await File.ReadAllTextAsync($"/proc/{id}/status"), Does.Contain("Umask:\t0027"));
        ToolResult second = Tool.Try(Repository.Daemon, "--daemonize", "--pidfile", pidFile);
        Assert.That((second.ExitCode, second.Error), Is.EqualTo((1, "qmp-monitor: cannot create PID file: Cannot lock pid file: Resource temporarily unavailable\n")));
        JsonObject reply = await client.SendAsync("quit", null);
        Assert.That(reply.ContainsKey("return"), Is.True);
        Tool.Run("tail", $"--pid={id}", "-f", "/dev/null");
        Assert.That(Directory.EnumerateFileSystemEntries(directory.Path), Is.Empty);
    }

    [TestCase("--chardev stdio,id=c", "--chardev stdio,id=c: cannot use stdio with -daemonize")]
    [TestCase("--monitor c", "--monitor c: chardev \"c\" not found")]
    [TestCase("--pidfile /none/pid", "cannot create PID file: Could not create '/none/pid': No such file or directory")]
    public void A_start_that_fails_says_so_and_leaves_nothing(string option, string error)
    {
        string[] arguments = ["--daemonize", .. option.Split(' ')];
        ToolResult ours = Tool.Try(Repository.Daemon, arguments);
        ToolResult theirs = Tool.Try("qemu-storage-daemon", arguments);
        Assert.That((ours.ExitCode, ours.Error), Is.EqualTo((1, $"qmp-monitor: {error}\n")));
        Assert.That((theirs.ExitCode, theirs.Error), Is.EqualTo((1, $"qemu-storage-daemon: {error}\n")));
    }
}
