using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What a drive's figures are after each of some requests, beside QEMU's; times are only looked at for whether they are shown.</summary>
public sealed class DriveStatisticsTests
{
    private static readonly string[] s_requests =
    [
        "aio_read 0 64k", "aio_write 0 4k", "aio_write 1M 1000", "aio_read 3 100", "aio_read 100M 64k", "aio_write 100M 64k", "read 0 4k", "write 0 4k", "flush",
        "discard 0 64k", "aio_read -i 0 512", "aio_write -i 0 512", "aio_write -f 0 512", "writev 0 512 512", "readv 0 512 512", "read 200M 512", "aio_write 0 1M",
    ];

    [Test]
    public async Task Every_request_is_counted_as_in_qemu()
    {
        List<string> theirs = await FiguresAsync("qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults");

        List<string> ours = await FiguresAsync(Repository.Daemon);

        Assert.That(ours, Is.EqualTo(theirs));
    }

    private static async Task<List<string>> FiguresAsync(string program, params string[] options)
    {
        using var directory = new TemporaryDirectory();
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", directory.File("x"), "16M");
        string drive = $"if=none,id=d0,file={directory.File("x")},format=qcow2,node-name=q,discard=unmap,stats-intervals.0=60";
        await using DaemonProcess daemon = DaemonProcess.Start(program, directory, [.. options, program == Repository.Daemon ? "--drive" : "-drive", drive]);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        var figures = new List<string>();
        foreach (string request in s_requests)
        {
            foreach (string command in new[] { request, "aio_flush" })
            {
                await qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io d0 \"{command}\"" });
            }

            JsonNode stats = (await qmp.ExecuteAsync("query-blockstats"))[0]!["stats"]!;
            figures.Add($"{request}: {string.Join(" ", stats.AsObject().OrderBy(member => member.Key, StringComparer.Ordinal).Select(Show))}");
        }

        return figures;
    }

    private static string Show(KeyValuePair<string, JsonNode?> member) => member.Key switch
    {
        "timed_stats" => $"{member.Key}={member.Value!.AsArray().Count}",
        _ when member.Key.EndsWith("_ns", StringComparison.Ordinal) => member.Key,
        _ => $"{member.Key}={member.Value}",
    };
}
