using System.Text.Json.Nodes;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>A drive whose disk is at an NBD server, and the server goes: what the drive's error policy makes of that.</summary>
public sealed class LostServerTests
{
    private const int Eio = 5;

    private static readonly byte[] s_first = [.. Enumerable.Repeat((byte)1, 4096)];
    private static readonly byte[] s_second = [.. Enumerable.Repeat((byte)2, 4096)];

    private DaemonProcess? _server;

    [TestCase("")]
    [TestCase("throttle,throttle-group=g,file=remote")]
    [TestCase("copy-on-read,file=remote")]
    [TestCase("quorum,vote-threshold=1,children.0=remote")]
    [CancelAfter(60_000)]
    public async Task With_stop_a_request_waits_until_the_server_is_back_and_the_guest_goes_on(string filter)
    {
        using var far = new TemporaryDirectory();
        using var directory = new TemporaryDirectory();
        Tool.Run("truncate", "-s", "1M", far.File("disk"));
        await using DaemonProcess daemon = await StartAsync(directory, far, filter, "stop");
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await ExportAsync(qmp);
        using var guest = new NbdTestClient(directory.File("nbd"), "guest");
        Assert.That(guest.Write(0, s_first), Is.Zero);

        await LoseServerAsync();
        Task<int> write = Task.Run(() => guest.Write(65536, s_second));
        JsonObject error = await qmp.WaitEventAsync("BLOCK_IO_ERROR");
        Assert.That(((string?)error["action"], (string?)error["operation"], (string?)error["reason"]), Is.EqualTo(("stop", "write", "Input/output error")));
        await qmp.WaitEventAsync("STOP");
        Assert.That((string?)(await qmp.ExecuteAsync("query-block"))[0]!["io-status"], Is.EqualTo("failed"));
        Assert.That((string?)(await qmp.ExecuteAsync("query-status"))["status"], Is.EqualTo("io-error"));
        Assert.That(write.IsCompleted, Is.False);

        await using DaemonProcess again = await ServeAsync(far);
        while (!write.IsCompleted)
        {
            Task stopped = qmp.WaitEventAsync("STOP");
            await qmp.ExecuteAsync("cont");
            await Task.WhenAny(write, stopped);
        }

        byte[] seen = new byte[s_first.Length];
        Assert.That((await write, guest.Read(0, seen)), Is.EqualTo((0, 0)));
        Assert.That(seen, Is.EqualTo(s_first));
        Assert.That(guest.Read(65536, seen), Is.Zero);
        Assert.That(seen, Is.EqualTo(s_second));
        Assert.That((string?)(await qmp.ExecuteAsync("query-block"))[0]!["io-status"], Is.EqualTo("ok"));
    }

    [TestCase("report", Eio)]
    [TestCase("enospc", Eio)]
    [TestCase("ignore", 0)]
    [CancelAfter(60_000)]
    public async Task With_other_policies_the_guest_hears_of_it_or_not_and_nothing_stops(string policy, int expected)
    {
        using var far = new TemporaryDirectory();
        using var directory = new TemporaryDirectory();
        Tool.Run("truncate", "-s", "1M", far.File("disk"));
        await using DaemonProcess daemon = await StartAsync(directory, far, "", policy);
        using QmpTestClient qmp = await daemon.ConnectAsync();
        await ExportAsync(qmp);
        using var guest = new NbdTestClient(directory.File("nbd"), "guest");
        Assert.That(guest.Write(0, s_first), Is.Zero);

        await LoseServerAsync();
        Assert.That(guest.Write(0, s_second), Is.EqualTo(expected));
        Assert.That((string?)(await qmp.WaitEventAsync("BLOCK_IO_ERROR"))["action"], Is.EqualTo(policy == "ignore" ? "ignore" : "report"));
        Assert.That((string?)(await qmp.ExecuteAsync("query-status"))["status"], Is.EqualTo("running"));

        await using DaemonProcess again = await ServeAsync(far);
        byte[] seen = new byte[s_first.Length];
        while (guest.Read(0, seen) != 0)
        {
            await qmp.ExecuteAsync("query-status");
        }

        Assert.That(seen, Is.EqualTo(s_first), "the write that failed is nowhere");
    }

    private async Task LoseServerAsync()
    {
        _server!.Kill();
        await _server.WaitForExitAsync();
        await _server.DisposeAsync();
    }

    private static async Task<DaemonProcess> ServeAsync(TemporaryDirectory far)
    {
        DaemonProcess server = DaemonProcess.Start(
            "qemu-storage-daemon",
            far,
            "--blockdev", $"file,node-name=disk,filename={far.File("disk")}",
            "--nbd-server", $"addr.type=unix,addr.path={far.File("nbd")}",
            "--export", "nbd,id=e,node-name=disk,name=x,writable=on");
        (await server.ConnectAsync()).Dispose();
        return server;
    }

    private async Task<DaemonProcess> StartAsync(TemporaryDirectory directory, TemporaryDirectory far, string filter, string policy)
    {
        _server = await ServeAsync(far);
        string remote = $"nbd,node-name={(filter.Length > 0 ? "remote" : "top")},server.type=unix,server.path={far.File("nbd")},export=x,reconnect-delay={(filter.Length > 0 ? 0 : 1)}";
        string[] above = filter.Length > 0 ? ["--blockdev", $"{filter},node-name=top"] : [];
        return DaemonProcess.Start(
            directory,
            [
                "--object", "throttle-group,id=g", "--nbd-server", $"addr.type=unix,addr.path={directory.File("nbd")}",
                "--blockdev", remote, .. above,
                "--device", $"virtio-blk-pci,id=vd0,drive=top,werror={policy},rerror={(policy == "stop" ? "stop" : "report")}",
            ]);
    }

    private static Task ExportAsync(QmpTestClient qmp) =>
        qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "guest", "name": "guest", "device": "vd0", "writable": true}""");
}
