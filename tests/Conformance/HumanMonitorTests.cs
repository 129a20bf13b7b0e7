using System.Net.Sockets;
using System.Text;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A person who types at the human monitor sees, byte for byte, what QEMU shows.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class HumanMonitorTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [TestCase("info status\n", TestName = "a line")]
    [TestCase("info status\r\ninfo name\rinfo uuid\n", TestName = "several lines, other ends")]
    [TestCase("\n   \n", TestName = "nothing")]
    [TestCase("foo bar\ninfo foo\n# x\n\"\n", TestName = "unknown commands")]
    [TestCase("stop\ninfo status\ncont\ninfo status\n", TestName = "commands that say nothing")]
    [TestCase("nbd_server_add x\nnbd_server_stop\nqemu-io\nhelp nothing\n", TestName = "commands that fail")]
    [TestCase("infx\x7f\x08o status\n\x7f\x08\n", TestName = "backspace")]
    [TestCase("\u0001\u0005nfo status\u0001i\n", TestName = "start and end")]
    [TestCase("infoX status\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x7f\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\n", TestName = "arrows")]
    [TestCase("xinfo status\x01\x04\x05!\x1b[D\x04\x04\n", TestName = "delete")]
    [TestCase("Xinfo status?\x1b[D\x1b[3~\x1b[1~\x1b[3~\x1b[4~\x1bOH\x1bOF\x1bOX\x1b[9~\n", TestName = "numbered keys")]
    [TestCase("info foo  \x17status\n", TestName = "delete a word")]
    [TestCase("info foo bar\x1b[D\x1b[D\x17\x17\x17\x17\n", TestName = "delete words from within")]
    [TestCase("stop\ncont\ninfo name\n\x1b[A\x1b[A\x1b[A\x1b[A\x1b[B\x1b[B\x1b[B\x1b[B\n", TestName = "history there and back")]
    [TestCase("info name\ninfo status\n\x1b[A\x1b[A\n\x1b[A\x7f\x7f\x7f\x7fuuid\n\x1b[A\x1b[A\x1b[A\n", TestName = "history repeated and changed")]
    [TestCase("half\x1b[B\x1b[A\x1b[B typed\n", TestName = "history over a line begun")]
    [TestCase("info na\x0cme\x01\x0c\n", TestName = "a clear screen")]
    [TestCase("\x02\x03\x06\x0b\x0c\x15\x1a\x1binfo\x1b[Zinfo\n", TestName = "keys without a meaning")]
    public async Task What_is_shown_is_the_same(string keys)
    {
        string theirs = await TypeAsync("qemu-system-x86_64", keys, "-nodefaults", "-display", "none", "-machine", "none");
        string ours = await TypeAsync(Repository.Daemon, keys);
        Assert.That(ours, Is.EqualTo(theirs));
    }

    [Test]
    public async Task A_line_has_its_limit()
    {
        string keys = new string('x', 4200) + "\n";
        string theirs = await TypeAsync("qemu-system-x86_64", keys, "-nodefaults", "-display", "none", "-machine", "none");
        Assert.That(await TypeAsync(Repository.Daemon, keys), Is.EqualTo(theirs));
    }

    [Test]
    public void Options_of_QMP_do_not_go_with_it()
    {
        ToolResult ours = Tool.Try(Repository.Daemon, "--chardev", "null,id=m", "--monitor", "chardev=m,mode=readline,pretty=on");
        Assert.That(ours.ExitCode, Is.EqualTo(1));
        Assert.That(ours.Error, Does.StartWith("qmp-monitor: --monitor chardev=m,mode=readline,pretty=on: 'pretty' is not compatible with HMP monitors\n"));
    }

    /// <summary>Types, then quits, and gives back all that was shown.</summary>
    private async Task<string> TypeAsync(string program, string keys, params string[] arguments)
    {
        string path = _directory.File(Path.GetRandomFileName());
        string monitor = program == Repository.Daemon ? "--monitor" : "-mon";
        await using DaemonProcess daemon = DaemonProcess.Start(
            program, _directory, [.. arguments, "--chardev", $"socket,path={path},server=on,wait=off,id=h", monitor, "chardev=h,mode=readline"]);
        using Socket socket = await daemon.ConnectSocketAsync(path);
        Task sending = socket.SendAsync(Encoding.Latin1.GetBytes(keys + "quit\n"));
        using var reader = new StreamReader(new NetworkStream(socket), Encoding.Latin1);
        string shown = await reader.ReadToEndAsync();
        await sending;
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
        return shown;
    }
}
