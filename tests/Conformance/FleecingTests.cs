using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A disk as it was at one moment is exported while a real NBD client, playing the guest, goes on writing to it.</summary>
public sealed class FleecingTests
{
    private const string Disk = "o";

    [Test]
    public async Task The_export_is_the_point_in_time_byte_for_byte_while_the_guest_writes()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        await using DaemonProcess daemon = DaemonProcess.Start(Repository.Daemon, directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await StartAsync(qmp, dir);

        // Each pass fills another stretch with a pattern of its own and checks it: qemu-io fails at the first byte that is not what it wrote.
        Task<string> guest = Task.Run(() => Tool.Run(
            "qemu-io", ["-f", "raw", .. Enumerable.Range(1, 300).SelectMany(Pass), $"nbd+unix:///guest?socket={dir}/nbd"]));
        await KeepAsync(qmp);
        string first = await CopyAsync(dir, "first");
        string second = await CopyAsync(dir, "second");
        string output = await guest;
        string third = await CopyAsync(dir, "third");

        Assert.That(output, Does.Not.Contain("failed").And.Not.Contain("error"));
        Assert.That(Same(dir, first, second) && Same(dir, first, third), "the point in time does not move");
        Assert.That(Tool.Run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0xaa 12m 4m", $"{dir}/{first}"), Does.Not.Contain("failed"));
        await qmp.ExecuteAsync("block-export-del", """{"id": "e2"}""");
        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "snap"}""");
        await qmp.ExecuteAsync("blockdev-reopen", $$"""{"options": [{"driver": "raw", "node-name": "top", "file": "{{Disk}}"}]}""");
        foreach (string node in (string[])["cbw", "temp"])
        {
            await qmp.ExecuteAsync("blockdev-del", $$"""{"node-name": "{{node}}"}""");
        }

        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Assert.That(Tool.Run("qemu-img", "check", $"{dir}/disk"), Does.Contain("No errors were found"));
    }

    [Test]
    public async Task A_quiet_guests_snapshot_is_its_disk_of_before()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        await using DaemonProcess daemon = DaemonProcess.Start(Repository.Daemon, directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await StartAsync(qmp, dir);
        Tool.Run("nbdcopy", $"nbd+unix:///guest?socket={dir}/nbd", $"{dir}/before");
        await KeepAsync(qmp);
        Tool.Run("qemu-io", "-f", "raw", "-c", "write -P 3 100k 3M", "-c", "write -z 8M 1M", "-c", "discard 12M 1M", "-c", "write -P 5 15M 1M", $"nbd+unix:///guest?socket={dir}/nbd");
        string copy = await CopyAsync(dir, "after");

        Assert.That(Same(dir, "before", copy));
        JsonNode nodes = await qmp.ExecuteAsync("query-named-block-nodes", """{"flat": true}""");
        Assert.That(nodes.AsArray().Select(node => (string?)node!["node-name"]), Does.Contain("cbw"));
        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
    }

    private static async Task StartAsync(QmpTestClient qmp, string dir)
    {
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/disk", "16M");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/temp", "16M");
        Tool.Run("qemu-io", "-f", "qcow2", "-c", "write -P 0xaa 8M 8M", $"{dir}/disk");
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "{{Disk}}", "discard": "unmap", "file": {"driver": "file", "filename": "{{dir}}/disk"} }""");
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "raw", "node-name": "top", "discard": "unmap", "file": "{{Disk}}"}""");
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "temp", "file": {"driver": "file", "filename": "{{dir}}/temp"} }""");
        await qmp.ExecuteAsync("nbd-server-start", $$"""{"addr": {"type": "unix", "data": {"path": "{{dir}}/nbd"} } }""");
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e1", "name": "guest", "node-name": "top", "writable": true}""");
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "copy-before-write", "node-name": "cbw", "file": "{{Disk}}", "target": "temp", "discard": "unmap"}""");
    }

    /// <summary>Puts the filter below the guest's node: from now on old data is kept.</summary>
    private static async Task KeepAsync(QmpTestClient qmp)
    {
        await qmp.ExecuteAsync("blockdev-reopen", """{"options": [{"driver": "raw", "node-name": "top", "file": "cbw", "discard": "unmap"}]}""");
        await qmp.ExecuteAsync("blockdev-add", """{"driver": "snapshot-access", "node-name": "snap", "file": "cbw", "discard": "unmap"}""");
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e2", "name": "snap", "node-name": "snap"}""");
    }

    private static Task<string> CopyAsync(string dir, string name) => Task.Run(() =>
    {
        Tool.Run("nbdcopy", $"nbd+unix:///snap?socket={dir}/nbd", $"{dir}/{name}");
        return name;
    });

    private static bool Same(string dir, string a, string b) =>
        File.ReadAllBytes($"{dir}/{a}").AsSpan().SequenceEqual(File.ReadAllBytes($"{dir}/{b}"));

    private static string[] Pass(int number)
    {
        int offset = number * 37 % 12_000;
        int pattern = (number % 254) + 1;
        return ["-c", $"write -P {pattern} {offset}k 72k", "-c", $"read -P {pattern} {offset}k 72k"];
    }
}
