using System.Text.Json.Nodes;
using Monitor.Qapi;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A rule for each of blkdebug's events fails the same request here and in qemu-io, with the same text.</summary>
/// <remarks>
/// One request after the other is made of a fresh image whose file fails once after the event. qcow2's tables are written together here,
/// by the next flush; in QEMU some are written at once: those events are listed, and fail that flush. qemu-io says nothing of a flush that fails.
/// </remarks>
public sealed class BlkdebugEventTests
{
    /// <summary>What QEMU writes with the first request, and we with the flush after it.</summary>
    private static readonly string[] s_batched = ["l1_update", "l2_update", "refblock_update_part", "pwritev_done"];

    /// <summary>Steps that we do not take: new clusters are written whole, so nothing is zeroed before; freed ones are given back when it is safe.</summary>
    private static readonly string[] s_otherwise = ["pwritev_zero", "cluster_alloc_space", "cluster_free"];

    private static readonly string[] s_requests =
    [
        "write -P 1 0 64k", "read 0 4k", "flush", "write -P 2 4k 4k", "write -P 3 1M 4k", "read 1M 64k", "flush", "write -z 0 64k", "discard 1M 64k", "flush",
        "write -c 2M 64k", "read 2M 64k", "flush", "read 3M 4k", "write 10M 4k", "flush", "write 1000M 64k", "flush", "truncate 2T", "flush",
    ];

    private static readonly string[] s_requestsAboveBacking = ["read 0 4k", "write 0 4k", "flush", "read 0 64k", "write 128k 64k", "flush", "read 128k 64k"];

    private TemporaryDirectory _directory = null!;
    private DaemonProcess _daemon = null!;
    private QmpTestClient _qmp = null!;

    [OneTimeSetUp]
    public async Task StartDaemon()
    {
        _directory = new TemporaryDirectory();
        Tool.Run("qemu-img", "create", "-q", "-f", "raw", _directory.File("base"), "1M");
        Tool.Run("qemu-io", "-f", "raw", "-c", "write -P 9 0 1M", _directory.File("base"));
        _daemon = DaemonProcess.Start(_directory);
        _qmp = await _daemon.ConnectAsync();
    }

    [OneTimeTearDown]
    public async Task StopDaemon()
    {
        _qmp.Dispose();
        await _daemon.DisposeAsync();
        _directory.Dispose();
    }

    [Test]
    public async Task An_event_fails_the_same_request([ValueSource(nameof(Events))] string evt, [Values] bool aboveBacking)
    {
        string[] requests = aboveBacking ? s_requestsAboveBacking : s_requests;
        MakeImage(aboveBacking);
        string? theirs = FirstFailure(Tool.Try(
            "qemu-io", [.. requests.SelectMany(request => new[] { "-c", request }), "--image-opts",
            $"driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename={_directory.File("x")},file.inject-error.0.event={evt},file.inject-error.0.once=on"]));
        MakeImage(aboveBacking);

        string? ours = await OursAsync(evt, requests);

        if (s_batched.Contains(evt) && theirs is not null)
        {
            Assert.That(ours, Is.EqualTo(theirs).Or.EndsWith("flush failed: Input/output error"));
        }
        else if (!s_otherwise.Contains(evt))
        {
            Assert.That(ours, Is.EqualTo(theirs));
        }
    }

    private static IEnumerable<string> Events() => Enum.GetValues<BlkdebugEvent>()
        .Where(evt => evt is not (BlkdebugEvent.None or BlkdebugEvent.FlushToOs or BlkdebugEvent.FlushToDisk))
        .Select(evt => evt.ToWire());

    /// <summary>The first failure, behind how many requests had succeeded.</summary>
    private static string? FirstFailure(ToolResult run) => FirstFailure((run.Output + run.Error).Split('\n'));

    private static string? FirstFailure(IEnumerable<string> lines)
    {
        int succeeded = 0;
        foreach (string line in lines.Select(line => line.Trim()))
        {
            if (line.Contains("error", StringComparison.Ordinal))
            {
                return $"{succeeded}: {line.Replace("qemu-io: ", "", StringComparison.Ordinal).Replace("can't open: ", "", StringComparison.Ordinal)}";
            }

            succeeded += line.Contains("bytes at offset", StringComparison.Ordinal) ? 1 : 0;
        }

        return null;
    }

    private void MakeImage(bool aboveBacking)
    {
        string[] backing = aboveBacking ? ["-b", _directory.File("base"), "-F", "raw"] : [];
        Tool.Run("qemu-img", ["create", "-q", "-f", "qcow2", .. backing, _directory.File("x"), aboveBacking ? "1M" : "1G"]);
        if (aboveBacking)
        {
            Tool.Run("qemu-io", "-f", "qcow2", "-c", "write 960k 64k", _directory.File("x"));
        }
    }

    private async Task<string?> OursAsync(string evt, string[] requests)
    {
        var options = new JsonObject
        {
            ["driver"] = "qcow2",
            ["node-name"] = "q",
            ["file"] = new JsonObject
            {
                ["driver"] = "blkdebug",
                ["image"] = new JsonObject { ["driver"] = "file", ["filename"] = _directory.File("x") },
                ["inject-error"] = new JsonArray(new JsonObject { ["event"] = evt, ["once"] = true }),
            },
        };
        JsonObject added = await _qmp.SendAsync("blockdev-add", options);
        if (added["error"] is { } error)
        {
            return FirstFailure([(string)error["desc"]!]);
        }

        var lines = new List<string>();
        foreach (string request in requests)
        {
            var reply = (string)(await _qmp.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = $"qemu-io q \"{request}\"" }))!;
            lines.AddRange(reply.Split("\r\n"));
        }

        await _qmp.ExecuteAsync("blockdev-del", new JsonObject { ["node-name"] = "q" });
        return FirstFailure(lines);
    }
}
