using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>Breakpoints by the human monitor's qemu-io, and the size; texts as the tool prints them.</summary>
public sealed class BlkdebugTests
{
    [Test]
    public async Task A_breakpoint_stops_a_write_until_it_is_resumed()
    {
        using var directory = new TemporaryDirectory();
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", directory.File("x.qcow2"), "1M");
        await using DaemonProcess daemon = DaemonProcess.Start(directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-add", new JsonObject
        {
            ["driver"] = "qcow2",
            ["node-name"] = "q",
            ["file"] = new JsonObject
            {
                ["driver"] = "blkdebug",
                ["image"] = new JsonObject { ["driver"] = "file", ["filename"] = directory.File("x.qcow2") },
            },
        });

        async Task<string> QemuIoAsync(string command) =>
            (string)(await qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io q \"{command}\"" }))!;

        Assert.That(await QemuIoAsync("break nosuch A"), Is.EqualTo("Could not set breakpoint: No such file or directory\r\n"));
        Assert.That(await QemuIoAsync("break write_aio"), Is.EqualTo("bad argument count 1 to break, expected 2 arguments\r\n"));
        Assert.That(await QemuIoAsync("resume A"), Is.EqualTo("Could not resume request: No such file or directory\r\n"));
        Assert.That(await QemuIoAsync("break write_aio A"), Is.Empty);
        Assert.That(await QemuIoAsync("remove_break A"), Is.Empty);
        Assert.That(await QemuIoAsync("remove_break A"), Is.EqualTo("Could not remove breakpoint A: No such file or directory\r\n"));

        await QemuIoAsync("break write_aio A");
        await QemuIoAsync("aio_write -P 7 0 64k");
        await QemuIoAsync("wait_break A");
        Assert.That(await QemuIoAsync("resume A"), Is.Empty);
        Assert.That(await QemuIoAsync("aio_flush"), Does.Contain("wrote 65536/65536 bytes at offset 0"));
        Assert.That(await QemuIoAsync("read -P 7 0 64k"), Does.Contain("read 65536/65536"));

        Assert.That(await QemuIoAsync("truncate 2M"), Is.Empty);
        Assert.That(await QemuIoAsync("length"), Is.EqualTo("2 MiB\r\n"));
    }
}
