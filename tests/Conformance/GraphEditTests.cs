using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>The graph is edited while a real NBD client plays the guest.</summary>
public sealed class GraphEditTests
{
    private const int Passes = 12;

    [Test]
    public async Task A_real_client_keeps_writing_while_its_disk_is_snapshotted_and_reopened()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/disk", "16M");
        await using DaemonProcess daemon = DaemonProcess.Start(Repository.Daemon, directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "o0", "file": {"driver": "file", "node-name": "f", "filename": "{{dir}}/disk"} }""");
        await qmp.ExecuteAsync("nbd-server-start", $$"""{"addr": {"type": "unix", "data": {"path": "{{dir}}/nbd"} } }""");
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "d", "node-name": "o0", "writable": true}""");

        // Every pass writes another pattern and reads it back: qemu-io fails at the first byte that is not what it wrote.
        Task<string> guest = Task.Run(() => Tool.Run(
            "qemu-io", ["-f", "raw", .. Enumerable.Range(1, 400).SelectMany(Pass), $"nbd+unix:///d?socket={dir}/nbd"]));
        for (int i = 1; i <= Passes; i++)
        {
            await qmp.ExecuteAsync("blockdev-snapshot-sync", $$"""{"node-name": "o{{i - 1}}", "snapshot-file": "{{dir}}/o{{i}}", "snapshot-node-name": "o{{i}}"}""");
            string file = await FileOfAsync(qmp, $"o{i}");
            await qmp.ExecuteAsync("blockdev-reopen", $$"""{"options": [{"driver": "qcow2", "node-name": "o{{i}}", "file": "{{file}}", "backing": "o{{i - 1}}", "discard": "unmap", "detect-zeroes": "unmap"}]}""");
        }

        string output = await guest;
        Assert.That(output, Does.Not.Contain("failed").And.Not.Contain("error"));
        JsonNode exports = await qmp.ExecuteAsync("query-block-exports");
        Assert.That((string?)exports[0]!["node-name"], Is.EqualTo($"o{Passes}"));
        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Assert.That(Tool.Run("qemu-img", "check", $"{dir}/o{Passes}"), Does.Contain("No errors were found"));
    }

    private static string[] Pass(int number)
    {
        int offset = number * 37 % 240;
        int pattern = (number % 254) + 1;
        return ["-c", $"write -P {pattern} {offset}k 72k", "-c", $"read -P {pattern} {offset}k 72k"];
    }

    private static async Task<string> FileOfAsync(QmpTestClient qmp, string node)
    {
        JsonNode graph = await qmp.ExecuteAsync("x-debug-query-block-graph");
        JsonNode Vertex(Func<JsonNode, bool> condition) => graph["nodes"]!.AsArray().First(n => condition(n!))!;
        ulong id = (ulong)Vertex(n => (string?)n["name"] == node)["id"]!;
        JsonNode edge = graph["edges"]!.AsArray().First(e => (ulong)e!["parent"]! == id && (string?)e["name"] == "file")!;
        return (string)Vertex(n => (ulong)n["id"]! == (ulong)edge["child"]!)["name"]!;
    }
}
