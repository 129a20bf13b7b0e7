using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What becomes of descriptors that clients send; the replies are in the transcript <c>descriptors.txt</c>.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DescriptorTests : IDisposable
{
    private static readonly string[] s_emulator = ["-nodefaults", "-display", "none", "-machine", "none"];

    private readonly OpenFiles _files = new();
    private readonly TemporaryDirectory _directory = new();

    public void Dispose()
    {
        _files.Dispose();
        _directory.Dispose();
    }

    [Test]
    public async Task Pipelined_commands_take_each_its_own()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using Socket socket = await daemon.ConnectSocketAsync(daemon.QmpPath);
        using var client = new QmpTestClient(socket);
        await client.NegotiateAsync();
        for (int i = 0; i < 20; i++)
        {
            string path = WriteFile($"file{i}");
            _files.Open("r", path);
            DescriptorSender.Send(socket, Encoding.UTF8.GetBytes($$"""{"execute": "add-fd", "arguments": {"opaque": "{{path}}"} }"""), _files.TakeNew());
        }

        for (int i = 0; i < 20; i++)
        {
            JsonObject reply = await client.NextReplyAsync();
            Assert.That(FileOf(daemon, (int)reply["return"]!["fd"]!), Is.EqualTo(_directory.File($"file{i}")));
        }
    }

    [Test]
    public async Task Those_that_no_command_took_are_closed_with_the_session()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient other = await daemon.ConnectAsync();
        using (QmpTestClient client = await daemon.ConnectAsync())
        {
            await SendAsync(client, "r", "kept", """{"execute": "getfd", "arguments": {"fdname": "kept"}}""");
            await SendAsync(client, "r", "replaced", """{"execute": "query-version"}""");
            await SendAsync(client, "r", "left", """{"execute": "query-version"} {"execute": """);
            Assert.That(HasOpen(daemon, "replaced"), Is.False);
            Assert.That(HasOpen(daemon, "left"), Is.True);
        }

        await WaitAsync(() => !HasOpen(daemon, "left"));
        Assert.That(HasOpen(daemon, "kept"), Is.True, "a name is the monitor's");
        await other.ExecuteAsync("closefd", """{"fdname": "kept"}""");
        Assert.That(HasOpen(daemon, "kept"), Is.False);
    }

    [Test]
    public async Task A_name_is_known_on_its_monitor_only()
    {
        string second = _directory.File("second");
        await using DaemonProcess daemon = DaemonProcess.Start(_directory, "--qmp", $"unix:{second}");
        using QmpTestClient client = await daemon.ConnectAsync();
        using var stranger = new QmpTestClient(await daemon.ConnectSocketAsync(second));
        await stranger.NegotiateAsync();
        _files.Open("socket", _directory.File("nbd"));
        await client.SendRawAsync("""{"execute": "getfd", "arguments": {"fdname": "listener"}}""", _files.TakeNew());

        const string address = """{"addr": {"type": "fd", "data": {"str": "listener"}}}""";
        Assert.That((await stranger.FailAsync("nbd-server-start", address)).Description, Is.EqualTo("File descriptor named 'listener' has not been found"));
        Assert.That((await stranger.FailAsync("closefd", """{"fdname": "listener"}""")).Description, Is.EqualTo("File descriptor named 'listener' not found"));
        await client.ExecuteAsync("nbd-server-start", address);
    }

    [TestCase("qmp-monitor")]
    [TestCase("qemu-system-x86_64")]
    public async Task Sets_that_nothing_was_opened_from_go_with_the_last_client(string program)
    {
        await using DaemonProcess daemon = Start(program);
        using (QmpTestClient client = await daemon.ConnectAsync())
        {
            await SendAsync(client, "rw", "unused", """{"execute": "add-fd", "arguments": {"fdset-id": 1}}""");
            await SendAsync(client, "rw", "used", """{"execute": "add-fd", "arguments": {"fdset-id": 2}}""");
            await client.ExecuteAsync("blockdev-add", """{"driver": "file", "node-name": "n", "filename": "/dev/fdset/2"}""");
            Assert.That((await client.ExecuteAsync("query-fdsets")).AsArray(), Has.Count.EqualTo(2));
        }

        await WaitAsync(() => !HasOpen(daemon, "unused"));
        using QmpTestClient next = await daemon.ConnectAsync();
        JsonArray sets = (await next.ExecuteAsync("query-fdsets")).AsArray();
        Assert.That(sets.Select(set => (int)set!["fdset-id"]!), Is.EqualTo([2]));
    }

    [Test]
    public async Task Inherited_ones_become_sets_before_files_are_opened()
    {
        string disk = WriteFile("disk");
        const string options = "-blockdev driver=file,node-name=n,filename=/dev/fdset/3 -add-fd fd=8,set=3,opaque=both -add-fd fd=9,set=3 -add-fd fd=9,set=0";
        await using DaemonProcess daemon = DaemonProcess.Start(
            "bash", _directory, "-c", $"exec 8<>{disk} 9<{disk}; exec {Repository.Daemon} {options} \"$@\"", "bash");
        using QmpTestClient client = await daemon.ConnectAsync();
        JsonArray sets = (await client.ExecuteAsync("query-fdsets")).AsArray();
        Assert.That(sets.Select(set => ((int)set!["fdset-id"]!, set["fds"]!.AsArray().Count)), Is.EqualTo([(3, 2), (0, 1)]));
        Assert.That(DescriptorsOf(daemon).Count(file => file == disk), Is.EqualTo(5), "three in sets, the node's and its lock's; those inherited are closed");
    }

    [TestCase("fd=7")]
    [TestCase("set=1")]
    [TestCase("fd=7,set=-1")]
    [TestCase("fd=-1,set=1")]
    [TestCase("fd=x,set=1")]
    [TestCase("fd=7,set=x")]
    [TestCase("fd=1,set=1")]
    [TestCase("fd=99,set=1")]
    [TestCase("fd=7,set=1,foo=x")]
    public void A_wrong_option_is_refused_in_the_same_words(string value)
    {
        string ours = Tool.Try(Repository.Daemon, "--add-fd", value).Error;
        string theirs = Tool.Try("qemu-system-x86_64", [.. s_emulator, "-add-fd", value]).Error;
        Assert.That(ours.Split('\n')[0].Replace("qmp-monitor: -", "", StringComparison.Ordinal), Is.EqualTo(theirs.Split('\n')[0].Replace("qemu-system-x86_64: ", "", StringComparison.Ordinal)));
    }

    private static bool HasOpen(DaemonProcess daemon, string name) => DescriptorsOf(daemon).Any(path => Path.GetFileName(path) == name);

    private static IEnumerable<string> DescriptorsOf(DaemonProcess daemon) =>
        from entry in new DirectoryInfo($"/proc/{daemon.Id}/fd").GetFileSystemInfos()
        where entry.LinkTarget is not null
        select entry.LinkTarget;

    private static string? FileOf(DaemonProcess daemon, int descriptor) =>
        new FileInfo(string.Create(CultureInfo.InvariantCulture, $"/proc/{daemon.Id}/fd/{descriptor}")).LinkTarget;

    private static async Task WaitAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!condition())
        {
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private DaemonProcess Start(string program) => program == "qmp-monitor"
        ? DaemonProcess.Start(_directory)
        : DaemonProcess.Start(program, _directory, s_emulator);

    private string WriteFile(string name)
    {
        string path = _directory.File(name);
        File.WriteAllBytes(path, new byte[4096]);
        return path;
    }

    private async Task SendAsync(QmpTestClient client, string mode, string name, string text)
    {
        _files.Open(mode, WriteFile(name));
        JsonObject reply = await client.SendRawAsync(text, _files.TakeNew());
        Assert.That(reply.ContainsKey("return"), Is.True, reply.ToJsonString());
    }
}
