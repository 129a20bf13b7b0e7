using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What a person does by hand in one session, against our daemon and against the one whose clients we serve.</summary>
public sealed class ByHandSessionTests
{
    private const string Size = "67108864";

    [TestCase("qmp-monitor")]
    [TestCase("qemu-storage-daemon")]
    public async Task Create_track_mirror_and_back_up_a_disk(string program)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(program == "qmp-monitor" ? Repository.Daemon : program, directory);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        var session = new Session(directory, qmp);

        await session.CreateDiskAsync("disk");
        await session.CreateDiskAsync("full");
        await session.AddBitmapAndWriteAsync();
        await session.BackUpEverythingAsync();
        await session.HandOverToNextBitmapAsync();
        await session.MirrorAndPivotAsync();
        await session.MirrorAndKeepTheSourceAsync();
        await session.BackUpIncrementAsync();
        await session.FailToBackUpIncrementAsync();
        List<(long Offset, long Length)> dirty = await session.ReadBitmapAsync("b1");

        await qmp.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
        session.CheckImages();
        Assert.That(dirty, Is.Not.Empty);
        Assert.That(await DirtyMap.ReadByQemuAsync(directory, directory.File("disk.qcow2"), "b1"), Is.EqualTo(dirty));
    }

    /// <summary>One session's steps, in the order they are done.</summary>
    private sealed class Session(TemporaryDirectory directory, QmpTestClient qmp)
    {
        private static readonly string[] s_mirrorWithPivot =
            ["created", "running", "ready", "waiting", "pending", "concluded", "null"];

        private string Nbd => directory.File("nbd");

        /// <summary>Makes a qcow2 image by two create jobs, and a node for it.</summary>
        public async Task CreateDiskAsync(string name)
        {
            string path = directory.File($"{name}.qcow2");
            await CreateAsync($$"""{"driver": "file", "filename": "{{path}}", "size": 0}""");
            await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "file", "node-name": "{{name}}-file", "filename": "{{path}}"}""");
            await CreateAsync($$"""{"driver": "qcow2", "file": "{{name}}-file", "size": {{Size}} }""");
            await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "{{name}}", "file": "{{name}}-file"}""");
        }

        public async Task AddBitmapAndWriteAsync()
        {
            await qmp.ExecuteAsync("block-dirty-bitmap-add", """{"node": "disk", "name": "b0", "persistent": true, "granularity": 65536}""");
            await qmp.ExecuteAsync("nbd-server-start", $$"""{"addr": {"type": "unix", "data": {"path": "{{Nbd}}"} } }""");
            await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "disk", "writable": true}""");
            Write("write -P 0x11 0 1M", "write -P 0x12 32M 64k");
            Assert.That(await CountAsync("disk", "b0"), Is.EqualTo((1 << 20) + 65536));
        }

        /// <summary>A full backup, so that later ones may be increments.</summary>
        public async Task BackUpEverythingAsync()
        {
            await qmp.ExecuteAsync("blockdev-backup", """{"job-id": "full", "device": "disk", "target": "full", "sync": "full"}""");
            JsonObject completed = await qmp.WaitEventAsync("BLOCK_JOB_COMPLETED", d => (string?)d["device"] == "full");
            Assert.That(completed.ContainsKey("error"), Is.False, completed.ToJsonString());
            await qmp.WaitJobAsync("full", "null");
        }

        /// <summary>The checkpoint of a backup tool: one instant ends b0 and begins b1; a third bitmap takes over what b0 holds.</summary>
        public async Task HandOverToNextBitmapAsync()
        {
            await qmp.ExecuteAsync("transaction", """
                {"actions": [
                  {"type": "block-dirty-bitmap-disable", "data": {"node": "disk", "name": "b0"}},
                  {"type": "block-dirty-bitmap-add", "data": {"node": "disk", "name": "b1", "persistent": true, "granularity": 65536}},
                  {"type": "block-dirty-bitmap-add", "data": {"node": "disk", "name": "all", "persistent": true, "disabled": true, "granularity": 131072}},
                  {"type": "block-dirty-bitmap-merge", "data": {"node": "disk", "target": "all", "bitmaps": ["b0"]}}
                ]}
                """);
            Write("write -P 0x13 16M 128k");
            Assert.That(await CountAsync("disk", "b0"), Is.EqualTo((1 << 20) + 65536), "a disabled bitmap records nothing");
            Assert.That(await CountAsync("disk", "b1"), Is.EqualTo(131072));
            Assert.That(await CountAsync("disk", "all"), Is.EqualTo((1 << 20) + 131072), "merged at the coarser granularity");
        }

        /// <summary>The export moves to the mirror's node at block-job-complete.</summary>
        public async Task MirrorAndPivotAsync()
        {
            await qmp.ExecuteAsync(
                "drive-mirror",
                $$"""{"job-id": "m0", "device": "disk", "target": "{{directory.File("mirror.qcow2")}}", "format": "qcow2", "sync": "full", "node-name": "mirror"}""");
            await qmp.WaitEventAsync("BLOCK_JOB_READY", d => (string?)d["device"] == "m0");
            await qmp.ExecuteAsync("block-job-complete", """{"device": "m0"}""");
            JsonObject completed = await qmp.WaitEventAsync("BLOCK_JOB_COMPLETED", d => (string?)d["device"] == "m0");
            Assert.That(completed.ContainsKey("error"), Is.False, completed.ToJsonString());
            await qmp.WaitJobAsync("m0", "null");
            Assert.That(qmp.StatusesOf("m0").Where(s => s is not ("paused" or "standby")).Distinct(), Is.EqualTo(s_mirrorWithPivot));

            JsonNode exports = await qmp.ExecuteAsync("query-block-exports");
            Assert.That((string?)exports[0]!["node-name"], Is.EqualTo("mirror"), "the export was re-pointed");
            Assert.That(await CountAsync("disk", "b1"), Is.EqualTo(131072), "the source's bitmaps stay");
            await qmp.ExecuteAsync("block-export-del", """{"id": "e"}""");
            await qmp.WaitEventAsync("BLOCK_EXPORT_DELETED");
            await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "disk", "writable": true}""");
        }

        /// <summary>A soft cancel when ready leaves a copy and the source in place.</summary>
        public async Task MirrorAndKeepTheSourceAsync()
        {
            await CreateDiskAsync("copy");
            await qmp.ExecuteAsync("blockdev-mirror", """{"job-id": "m1", "device": "disk", "target": "copy", "sync": "full"}""");
            await qmp.WaitEventAsync("BLOCK_JOB_READY", d => (string?)d["device"] == "m1");
            await qmp.ExecuteAsync("block-job-cancel", """{"device": "m1"}""");
            await qmp.WaitEventAsync("BLOCK_JOB_COMPLETED", d => (string?)d["device"] == "m1");
            await qmp.WaitJobAsync("m1", "null");
            JsonNode exports = await qmp.ExecuteAsync("query-block-exports");
            Assert.That((string?)exports[0]!["node-name"], Is.EqualTo("disk"));
        }

        /// <summary>Success: the successor takes over, so only later writes are dirty.</summary>
        public async Task BackUpIncrementAsync()
        {
            await qmp.ExecuteAsync("blockdev-del", """{"node-name": "full"}""");
            await qmp.ExecuteAsync("blockdev-del", """{"node-name": "full-file"}""");
            Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", "-b", directory.File("full.qcow2"), "-F", "qcow2", directory.File("increment.qcow2"));
            await qmp.ExecuteAsync(
                "blockdev-add",
                $$"""{"driver": "qcow2", "node-name": "increment", "file": {"driver": "file", "filename": "{{directory.File("increment.qcow2")}}"} }""");
            await qmp.ExecuteAsync(
                "blockdev-backup", """{"job-id": "i0", "device": "disk", "target": "increment", "sync": "incremental", "bitmap": "b1"}""");
            JsonObject completed = await qmp.WaitEventAsync("BLOCK_JOB_COMPLETED", d => (string?)d["device"] == "i0");
            Assert.That(completed.ContainsKey("error"), Is.False, completed.ToJsonString());
            await qmp.WaitJobAsync("i0", "null");
            Assert.That((long?)completed["len"], Is.EqualTo(131072));
            Assert.That(await CountAsync("disk", "b1"), Is.Zero);
            await qmp.ExecuteAsync("blockdev-del", """{"node-name": "increment"}""");
            Tool.Run("qemu-img", "compare", directory.File("increment.qcow2"), directory.File("copy.qcow2"), "-U");
        }

        /// <summary>Failure: what was dirty before and what was written meanwhile are dirty together.</summary>
        public async Task FailToBackUpIncrementAsync()
        {
            Write("write -P 0x14 8M 192k");
            Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", directory.File("broken.qcow2"), Size);
            await qmp.ExecuteAsync("blockdev-add", $$$"""
                {"driver": "qcow2", "node-name": "broken", "file": {
                  "driver": "blkdebug", "image": {"driver": "file", "filename": "{{{directory.File("broken.qcow2")}}}"},
                  "inject-error": [{"event": "write_aio", "errno": 28}]}}
                """);
            await qmp.ExecuteAsync(
                "blockdev-backup", """{"job-id": "i1", "device": "disk", "target": "broken", "sync": "incremental", "bitmap": "b1"}""");
            JsonObject completed = await qmp.WaitEventAsync("BLOCK_JOB_COMPLETED", d => (string?)d["device"] == "i1");
            Assert.That((string?)completed["error"], Is.EqualTo("No space left on device"));
            await qmp.WaitJobAsync("i1", "null");
            Assert.That(await CountAsync("disk", "b1"), Is.EqualTo(196608));
            Write("write -P 0x15 9M 64k");
            Assert.That(await CountAsync("disk", "b1"), Is.EqualTo(196608 + 65536));
        }

        public async Task<List<(long Offset, long Length)>> ReadBitmapAsync(string bitmap)
        {
            await qmp.ExecuteAsync("block-export-del", """{"id": "e"}""");
            await qmp.WaitEventAsync("BLOCK_EXPORT_DELETED");
            await qmp.ExecuteAsync("block-export-add", $$"""{"type": "nbd", "id": "e2", "node-name": "disk", "name": "d2", "writable": true, "bitmaps": ["{{bitmap}}"]}""");
            return DirtyMap.Read(Nbd, "d2", bitmap);
        }

        public void CheckImages()
        {
            foreach (string image in (string[])["disk", "full", "mirror", "copy", "increment"])
            {
                Tool.Run("qemu-img", "check", "-q", "-f", "qcow2", directory.File($"{image}.qcow2"));
            }

            Tool.Run("qemu-img", "compare", directory.File("mirror.qcow2"), directory.File("copy.qcow2"));
            JsonArray bitmaps = JsonNode.Parse(Tool.Run("qemu-img", "info", "--output=json", directory.File("disk.qcow2")))!
                ["format-specific"]!["data"]!["bitmaps"]!.AsArray();
            Assert.That(
                bitmaps.Select(b => $"{b!["name"]} {b["granularity"]} [{string.Join(',', b["flags"]!.AsArray())}]").Order(),
                Is.EqualTo((string[])["all 131072 []", "b0 65536 []", "b1 65536 [auto]"]));
        }

        private void Write(params string[] commands) =>
            Tool.Run("qemu-io", ["-f", "raw", .. commands.SelectMany(c => (string[])["-c", c]), $"nbd+unix:///disk?socket={Nbd}"]);

        private async Task CreateAsync(string options)
        {
            string id = $"create-{Guid.NewGuid():N}"[..20];
            await qmp.ExecuteAsync("blockdev-create", $$"""{"job-id": "{{id}}", "options": {{options}}}""");
            await qmp.WaitJobAsync(id, "concluded");
            JsonNode jobs = await qmp.ExecuteAsync("query-jobs");
            Assert.That(jobs.AsArray().Single()!["error"], Is.Null, jobs.ToJsonString());
            await qmp.ExecuteAsync("job-dismiss", $$"""{"id": "{{id}}"}""");
        }

        private async Task<long> CountAsync(string node, string bitmap)
        {
            JsonNode nodes = await qmp.ExecuteAsync("query-named-block-nodes");
            JsonNode found = nodes.AsArray().Single(n => (string?)n!["node-name"] == node)!;
            return (long)found["dirty-bitmaps"]!.AsArray().Single(b => (string?)b!["name"] == bitmap)!["count"]!;
        }
    }
}
