using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A real NBD client plays the guest of a drive: an export of the drive is its disk.</summary>
public sealed class DriveTests
{
    private const int Rounds = 8;
    private const int Enospc = 28;
    private const int Eio = 5;

    private static readonly byte[] s_block = [.. Enumerable.Repeat((byte)7, 4096)];

    /// <summary>An entry of the L2 table that points to no cluster.</summary>
    [TestCase("qmp-monitor")]
    [TestCase("qemu-system-x86_64")]
    public async Task A_corrupt_image_is_announced_under_its_drives_name(string program)
    {
        using var directory = new TemporaryDirectory();
        string image = directory.File("image");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, "1M");
        Tool.Run("qemu-io", "-c", "write 0 64k", image);
        Tool.Run("bash", "-c", $"printf '\\200\\0\\0\\0\\0\\5\\52\\0' | dd of={image} bs=1 seek=$((0x40000)) conv=notrunc status=none");
        await using DaemonProcess daemon = program == "qmp-monitor"
            ? DaemonProcess.Start(directory, "--drive", $"if=none,id=disk,file={image},format=qcow2,node-name=q")
            : DaemonProcess.Start(program, directory, "-nodefaults", "-display", "none", "-machine", "none", "-drive", $"if=none,id=disk,file={image},format=qcow2,node-name=q");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("human-monitor-command", """{"command-line": "qemu-io disk \"write 0 4k\""}""");
        JsonObject data = await qmp.WaitEventAsync("BLOCK_IMAGE_CORRUPTED");
        Assert.That((string?)data["device"], Is.EqualTo("disk"));
        Assert.That((string?)data["node-name"], Is.EqualTo("q"));
        Assert.That((bool?)data["fatal"], Is.True);
    }

    [Test]
    public async Task A_guest_keeps_writing_while_its_drive_is_repointed_snapshotted_throttled_and_reopened()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/o0", "16M");
        await using DaemonProcess daemon = DaemonProcess.Start(
            Repository.Daemon,
            directory,
            "--drive",
            $"if=none,id=disk,file={dir}/o0,node-name=o0",
            "--device",
            "virtio-blk-pci,drive=disk,id=vd0",
            "--object",
            "throttle-group,id=filter",
            "--nbd-server",
            $"addr.type=unix,addr.path={dir}/nbd");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "d", "device": "disk", "writable": true}""");

        // Every pass writes another pattern and reads it back: qemu-io fails at the first byte that is not what it wrote.
        Task<string> guest = Task.Run(() => Tool.Run(
            "qemu-io", ["-f", "raw", .. Enumerable.Range(1, 500).SelectMany(Pass), $"nbd+unix:///d?socket={dir}/nbd"]));
        for (int i = 1; i <= Rounds; i++)
        {
            await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "throttle", "node-name": "t{{i}}", "throttle-group": "filter", "file": "o{{i - 1}}"}""");
            await RepointAsync(qmp, $"t{i}");
            await ThrottleAsync(qmp, iops: 400);
            await RepointAsync(qmp, $"o{i - 1}");
            await qmp.ExecuteAsync("blockdev-del", $$"""{"node-name": "t{{i}}"}""");
            await ThrottleAsync(qmp, iops: 0);
            await qmp.ExecuteAsync("blockdev-snapshot-sync", $$"""{"device": "disk", "snapshot-file": "{{dir}}/o{{i}}", "snapshot-node-name": "o{{i}}"}""");
            await ReopenAsync(qmp, dir, i);
        }

        string output = await guest;
        Assert.That(output, Does.Not.Contain("failed").And.Not.Contain("error"));
        JsonNode drive = (await qmp.ExecuteAsync("query-block"))[0]!;
        Assert.That((string?)drive["inserted"]!["node-name"], Is.EqualTo($"o{Rounds}"));
        Assert.That((string?)drive["io-status"], Is.EqualTo("ok"));
        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Assert.That(Tool.Run("qemu-img", "check", $"{dir}/o{Rounds}"), Does.Contain("No errors were found"));
    }

    [Test]
    public async Task A_backup_tool_reads_one_instant_and_a_mirror_takes_over_while_the_guest_writes_on()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("bash", "-ec", $"for i in a t; do qemu-img create -q -f qcow2 {dir}/$i 4M; done; qemu-img create -q -f raw {dir}/fleece 4M");
        await using DaemonProcess daemon = DaemonProcess.Start(
            Repository.Daemon, directory, "--drive", $"if=none,id=disk,file={dir}/a,node-name=n", "--device", "virtio-blk-pci,drive=disk,id=vd0",
            "--nbd-server", $"addr.type=unix,addr.path={dir}/nbd");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "g", "name": "guest", "device": "vd0", "writable": true}""");
        GuestDoes(dir, "guest", "write -P 1 0 4M");

        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "file", "node-name": "fleece", "filename": "{{dir}}/fleece"}""");
        await qmp.ExecuteAsync("blockdev-add", """{"driver": "copy-before-write", "node-name": "cbw", "file": "n", "target": "fleece"}""");
        await RepointAsync(qmp, "cbw");
        await qmp.ExecuteAsync("blockdev-add", """{"driver": "snapshot-access", "node-name": "instant", "file": "cbw"}""");
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "b", "name": "backup", "node-name": "instant"}""");
        GuestDoes(dir, "guest", "write -P 2 1M 2M");
        GuestDoes(dir, "backup", "read -P 1 0 4M");
        await qmp.ExecuteAsync("block-export-del", """{"id": "b"}""");
        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "instant"}""");
        await RepointAsync(qmp, "n");
        await qmp.ExecuteAsync("blockdev-del", """{"node-name": "cbw"}""");

        await qmp.ExecuteAsync("blockdev-add", $$"""{"driver": "qcow2", "node-name": "t", "file": {"driver": "file", "filename": "{{dir}}/t"} }""");
        await qmp.ExecuteAsync("blockdev-mirror", """{"device": "disk", "target": "t", "sync": "full"}""");
        await qmp.WaitJobAsync("disk", "ready");
        GuestDoes(dir, "guest", "write -P 3 3M 1M");
        await qmp.ExecuteAsync("block-job-complete", """{"device": "disk"}""");
        await qmp.WaitJobAsync("disk", "null");
        Assert.That((string?)(await qmp.ExecuteAsync("query-block"))[0]!["inserted"]!["node-name"], Is.EqualTo("t"));
        GuestDoes(dir, "guest", "read -P 1 0 1M", "read -P 2 1M 2M", "read -P 3 3M 1M");
    }

    [Test]
    public async Task A_full_disk_stops_the_machine_and_cont_does_the_write_again()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = StartWithFault(directory, Enospc, "write_aio", "virtio-blk-pci");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        using NbdTestClient guest = await ExportAsync(qmp, directory);

        Task<int> write = Task.Run(() => guest.Write(0, s_block));
        JsonObject error = await qmp.WaitEventAsync("BLOCK_IO_ERROR");
        Assert.That(error.ToJsonString(), Is.EqualTo(
            """{"device":"disk","node-name":"n","operation":"write","action":"stop","nospace":true,"reason":"No space left on device"}"""));
        await qmp.WaitEventAsync("STOP");
        Assert.That((string?)(await qmp.ExecuteAsync("query-status"))["status"], Is.EqualTo("io-error"));
        Assert.That((string?)(await qmp.ExecuteAsync("query-block"))[0]!["io-status"], Is.EqualTo("nospace"));
        Assert.That(write.IsCompleted, Is.False);

        await qmp.ExecuteAsync("cont");
        Assert.That(await write, Is.Zero);
        await qmp.WaitEventAsync("RESUME");
        Assert.That((string?)(await qmp.ExecuteAsync("query-block"))[0]!["io-status"], Is.EqualTo("ok"));
        JsonNode stats = (await qmp.ExecuteAsync("query-blockstats"))[0]!["stats"]!;
        Assert.That(((int)stats["wr_operations"]!, (int)stats["wr_bytes"]!, (int)stats["failed_wr_operations"]!), Is.EqualTo((1, 4096, 0)));
    }

    [Test]
    public async Task A_write_that_waits_for_cont_fails_when_the_daemon_ends()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = StartWithFault(directory, Enospc, "write_aio", "virtio-blk-pci");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        using NbdTestClient guest = await ExportAsync(qmp, directory);
        Task write = Task.Run(() => guest.Write(0, s_block));
        await qmp.WaitEventAsync("STOP");
        await qmp.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero);
        await write.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [TestCase("rerror=report", "read_aio", "report", Eio)]
    [TestCase("rerror=ignore", "read_aio", "ignore", 0)]
    [TestCase("werror=report", "write_aio", "report", Eio)]
    [TestCase("werror=ignore", "write_aio", "ignore", 0)]
    public async Task A_failed_request_is_told_or_ignored_as_its_policy_says(string policy, string where, string action, int expected)
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = StartWithFault(directory, Eio, where, $"virtio-blk-pci,{policy}");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        using NbdTestClient guest = await ExportAsync(qmp, directory);
        byte[] buffer = new byte[4096];
        int result = where == "read_aio" ? guest.Read(0, buffer) : guest.Write(0, s_block);
        Assert.That(result, Is.EqualTo(expected));
        JsonObject error = await qmp.WaitEventAsync("BLOCK_IO_ERROR");
        Assert.That(((string?)error["action"], (string?)error["reason"]), Is.EqualTo((action, "Input/output error")));
        Assert.That((bool)(await qmp.ExecuteAsync("query-status"))["running"]!, Is.True);
        JsonNode stats = (await qmp.ExecuteAsync("query-blockstats"))[0]!["stats"]!;
        Assert.That((int)stats["failed_rd_operations"]! + (int)stats["failed_wr_operations"]!, Is.EqualTo(expected == 0 ? 0 : 1));
    }

    [Test]
    public async Task A_drive_without_medium_fails_requests_until_one_is_put_in()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "raw", $"{dir}/disc", "1M");
        await using DaemonProcess daemon = DaemonProcess.Start(
            Repository.Daemon, directory, "--device", "virtio-scsi-pci", "--blockdev", $"raw,node-name=n,file.driver=file,file.filename={dir}/disc,read-only=on",
            "--device", "scsi-cd,id=cd,drive=n", "--nbd-server", $"addr.type=unix,addr.path={dir}/nbd");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "d", "device": "cd"}""");
        using var guest = new NbdTestClient($"{dir}/nbd", "d");
        byte[] buffer = new byte[512];
        Assert.That(guest.Read(0, buffer), Is.Zero);
        await qmp.ExecuteAsync("eject", """{"id": "cd"}""");
        Assert.That(guest.Read(0, buffer), Is.Not.Zero);
        await qmp.ExecuteAsync("blockdev-insert-medium", """{"id": "cd", "node-name": "n"}""");
        await qmp.ExecuteAsync("blockdev-close-tray", """{"id": "cd"}""");
        Assert.That(guest.Read(0, buffer), Is.Zero);
        foreach (bool isOpen in new[] { true, false })
        {
            JsonObject moved = await qmp.WaitEventAsync("DEVICE_TRAY_MOVED");
            Assert.That(moved.ToJsonString(), Is.EqualTo($$"""{"device":"","id":"cd","tray-open":{{(isOpen ? "true" : "false")}}}"""));
        }
    }

    [Test]
    public async Task A_device_that_goes_takes_its_drive_with_it_and_says_so()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/d", "1M");
        await using DaemonProcess daemon = DaemonProcess.Start(
            Repository.Daemon, directory, "-drive", $"if=none,id=disk,file={dir}/d", "-device", "virtio-blk-pci,drive=disk,id=vd0");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await qmp.ExecuteAsync("device_del", """{"id": "vd0"}""");
        Assert.That((string?)(await qmp.WaitEventAsync("DEVICE_DELETED"))["path"], Is.EqualTo("/machine/peripheral/vd0/virtio-backend"));
        Assert.That((string?)(await qmp.WaitEventAsync("DEVICE_DELETED"))["device"], Is.EqualTo("vd0"));
        Assert.That((await qmp.ExecuteAsync("query-block")).AsArray(), Is.Empty);
        Assert.That((await qmp.ExecuteAsync("query-named-block-nodes")).AsArray(), Is.Empty);
    }

    [Test]
    public async Task What_is_written_to_a_temporary_drive_is_gone_at_the_end()
    {
        using var directory = new TemporaryDirectory();
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", $"{dir}/d", "1M");
        await using DaemonProcess daemon = DaemonProcess.Start(
            Repository.Daemon, directory, "--snapshot", "--drive", $"if=none,id=disk,file={dir}/d", "--paused", "--nbd-server", $"addr.type=unix,addr.path={dir}/nbd");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        Assert.That((string?)(await qmp.ExecuteAsync("query-status"))["status"], Is.EqualTo("prelaunch"));
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "d", "device": "disk", "writable": true}""");
        using (var guest = new NbdTestClient($"{dir}/nbd", "d"))
        {
            byte[] buffer = new byte[4096];
            Assert.That((guest.Write(0, s_block), guest.Read(0, buffer)), Is.EqualTo((0, 0)));
            Assert.That(buffer, Is.EqualTo(s_block));
        }

        await qmp.ExecuteAsync("quit");
        await daemon.WaitForExitAsync();
        Assert.That(Tool.Run("qemu-io", "-c", "read -P 0 0 4k", $"{dir}/d"), Does.Not.Contain("failed"));
    }

    /// <summary>Fails where qemu-io does, so also at the first byte that is not what a read expects.</summary>
    private static void GuestDoes(string dir, string export, params string[] commands)
    {
        string[] readOnly = export == "backup" ? ["-r"] : [];
        string output = Tool.Run("qemu-io", ["-f", "raw", .. readOnly, .. commands.SelectMany(c => new[] { "-c", c }), $"nbd+unix:///{export}?socket={dir}/nbd"]);
        Assert.That(output, Does.Not.Contain("failed").And.Not.Contain("error"));
    }

    private static string[] Pass(int number)
    {
        int offset = number * 37 % 240;
        int pattern = (number % 254) + 1;
        return ["-c", $"write -P {pattern} {offset}k 72k", "-c", $"read -P {pattern} {offset}k 72k"];
    }

    private static Task<JsonNode> RepointAsync(QmpTestClient qmp, string node) =>
        qmp.ExecuteAsync("qom-set", $$"""{"path": "/machine/peripheral/vd0/virtio-backend", "property": "drive", "value": "{{node}}"}""");

    private static Task<JsonNode> ThrottleAsync(QmpTestClient qmp, int iops) => qmp.ExecuteAsync(
        "block_set_io_throttle",
        $$"""{"id": "/machine/peripheral/vd0/virtio-backend", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": {{iops}}, "iops_rd": 0, "iops_wr": 0}""");

    private static async Task ReopenAsync(QmpTestClient qmp, string dir, int i)
    {
        await qmp.ExecuteAsync("human-monitor-command", """{"command-line": "qemu-io disk \"reopen -o detect-zeroes=on\""}""");
        JsonNode inserted = (await qmp.ExecuteAsync("query-block"))[0]!["inserted"]!;
        Assert.That(((string?)inserted["file"], (string?)inserted["detect_zeroes"]), Is.EqualTo(($"{dir}/o{i}", "on")));
    }

    private static DaemonProcess StartWithFault(TemporaryDirectory directory, int errno, string where, string device)
    {
        string dir = directory.Path;
        Tool.Run("qemu-img", "create", "-q", "-f", "raw", $"{dir}/d", "1M");
        return DaemonProcess.Start(
            Repository.Daemon,
            directory,
            "--drive",
            $"if=none,id=disk,driver=raw,node-name=n,file.driver=blkdebug,file.inject-error.0.event={where},file.inject-error.0.errno={errno},"
                + $"file.inject-error.0.once=on,file.image.driver=file,file.image.filename={dir}/d",
            "--device",
            $"{device},drive=disk,id=vd0",
            "--nbd-server",
            $"addr.type=unix,addr.path={dir}/nbd");
    }

    private static async Task<NbdTestClient> ExportAsync(QmpTestClient qmp, TemporaryDirectory directory)
    {
        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "name": "d", "device": "vd0", "writable": true}""");
        return new NbdTestClient($"{directory.Path}/nbd", "d");
    }
}
