using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The human monitor's <c>qemu-io</c> prints what the real tool prints, times and the words of help aside.</summary>
public sealed partial class QemuIoTests
{
    /// <summary>Each is one command of the tool; a line stands for its place in the sequence, since later ones read what earlier ones wrote.</summary>
    private static readonly string[] s_commands =
    [
        "write 0 64k", "write -P 7 64k 1M", "write -z 0 4k", "write -z -u 0 64k", "write -u 0 64k", "write -n 0 64k", "write -z -n 0 64k",
        "write -f 0 4k", "write -q 0 4k", "write -C 0 4k", "write -s $DIR/source 3 4k", "write -s $DIR/missing 0 4k", "write -s $DIR/empty 0 4k",
        "write 0", "write", "write 0 1", "write 1 512", "write 0 3", "write -P 300 0 512", "write -P x 0 512", "write -P", "write -P 1",
        "write -P 0x41 0 512", "write -P0x41 512 512", "write -1 512", "write 0 -5", "write abc 512", "write 0 abc", "write 8M 512", "write 0 3G",
        "write -z -P 3 0 512", "write -r 0 512", "write -x 0 512", "write 0 1 2", "write 0 1.5k", "write 0 1e3", "write 0 9E", "write -b -z 0 512",
        "write -fz 0 512", "write -- 0 512", "write 0 512 -P 9",
        "read 0 512", "read -v 0 32", "read -v 3 17", "read -P 9 0 512", "read -P 7 0 512", "read -P 0x41 -s 512 -l 4 0 1k", "read -s 2 0 512",
        "read -l 2 0 512", "read -P 1 -l 600 0 512", "read -P 1 -s 600 0 512", "read -P 1 -s x 0 512", "read -q 0 512", "read -qP 0x41 0 512", "read",
        "read 0", "read -C 0 512", "read 8M 512", "read 16M 512", "read -p 0 512", "read 0 0", "read 0 3G", "read 1M 100k",
        "readv 0 512", "readv 0 512 1024", "readv -v 0 16", "readv -P 3 0 512", "readv -P 0x41 512 512", "readv 0 0", "readv 0 3G", "readv",
        "writev 0 512 1k 2k", "writev -P 3 0 512", "writev", "writev -f 0 512", "writev 0 abc", "writev -P 300 0 512",
        "discard 0 64k", "discard -q 0 64k", "discard -C 0 64k", "discard 0", "discard", "discard 1 3", "discard 8M 1", "discard 0 3G",
        "map", "map x", "alloc 0", "alloc 0 8M", "alloc 64k 1M", "alloc 9M", "alloc 0 9M", "alloc", "alloc x", "alloc 1M 1 2",
        "length", "length x", "info", "info x", "flush", "flush x", "sleep 1", "sleep", "sleep x", "sleep 1 2", "nosuch", "nosuch 1", "aio_flush x",
        "aio_write -u 0 512", "aio_write -z 0 512 512", "aio_write", "aio_write 0", "aio_write -x 0 1", "aio_read -P 300 0 512", "aio_read 0 3G",
        "write -c 2M 64k", "write -c 2M 64k", "write -c 2100k 64k", "write -c 3M 96k", "write -z -c 4M 64k", "write -c 0 64k", "write -c 3M 128k",
    ];

    [Test]
    public async Task Every_command_prints_what_the_tool_prints()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory.File("source"), "some text, over and over. ");
        await File.WriteAllTextAsync(directory.File("empty"), "");
        Tool.Run("bash", "-ec", $"qemu-img create -q -f qcow2 {directory.File("theirs")} 8M; qemu-img create -q -f qcow2 {directory.File("ours")} 8M");
        await using DaemonProcess daemon = DaemonProcess.Start(directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "d", "discard": "unmap", "file": {"driver": "file", "filename": "{{directory.File("ours")}}" } }""");
        string[] theirs = RunTool(directory, directory.File("theirs"));

        Assert.Multiple(async () =>
        {
            for (int i = 0; i < s_commands.Length; i++)
            {
                string ours = await RunAsync(qmp, "d", s_commands[i].Replace("$DIR", directory.Path, StringComparison.Ordinal));
                Assert.That(WithoutTimes(ours), Is.EqualTo(WithoutTimes(theirs[i])), s_commands[i]);
            }
        });
        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Tool.Run("qemu-img", "compare", directory.File("theirs"), directory.File("ours"));
    }

    [Test]
    public async Task What_goes_on_after_the_reply_is_printed_by_the_next_flush()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-add", """{"driver": "null-co", "node-name": "slow", "size": 65536, "latency-ns": 100000000}""");
        Assert.That(await RunAsync(qmp, "slow", "aio_write 0 512"), Is.Empty);
        Assert.That(await RunAsync(qmp, "slow", "aio_read 64k 512"), Is.EqualTo("readv failed: Input/output error\n").Or.Empty);
        Assert.That(await RunAsync(qmp, "slow", "aio_flush"), Does.Contain("wrote 512/512 bytes at offset 0\n"));
        Assert.That(await RunAsync(qmp, "slow", "aio_flush"), Is.Empty);
        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "slow"}""");
    }

    private static async Task<string> RunAsync(QmpTestClient qmp, string node, string command)
    {
        JsonNode reply = await qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io {node} \"{command}\"" });
        return ((string)reply!).Replace("\r\n", "\n", StringComparison.Ordinal);
    }

    /// <summary>Runs all commands in one qemu-io, each between two prompts.</summary>
    private static string[] RunTool(TemporaryDirectory directory, string image)
    {
        string script = directory.File("script");
        File.WriteAllLines(script, s_commands.Select(command => command.Replace("$DIR", directory.Path, StringComparison.Ordinal)));
        string output = Tool.Run("bash", "-c", $"qemu-io -f qcow2 {image} < {script} 2>&1; true");
        return output.Split("qemu-io> ")[1..];
    }

    /// <summary>Leaves out times and rates, and what usage lines say of a command: those words are our own.</summary>
    private static string WithoutTimes(string text) => Usage().Replace(Terse().Replace(Rates().Replace(text, "TIME"), "$1TIME"), "$1");

    [GeneratedRegex(@"[0-9:.]+( sec)? \([^)]*ops/sec\)")]
    private static partial Regex Rates();

    [GeneratedRegex(@"^([0-9]+,1,).*$", RegexOptions.Multiline)]
    private static partial Regex Terse();

    [GeneratedRegex(@"^(\w+ \[.* )-- .*$", RegexOptions.Multiline)]
    private static partial Regex Usage();
}
