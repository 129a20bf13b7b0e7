using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What exports take of newer QEMU's arguments.</summary>
public sealed class ExportTests
{
    [Test]
    public async Task An_export_is_served_by_a_list_of_iothreads()
    {
        using var directory = new TemporaryDirectory();
        await using DaemonProcess daemon = DaemonProcess.Start(
            directory,
            "--object", "iothread,id=one", "--object", "iothread,id=two",
            "--blockdev", "null-co,node-name=n,size=1048576",
            "--nbd-server", $"addr.type=unix,addr.path={directory.File("nbd")}");
        using QmpTestClient qmp = await daemon.ConnectAsync();

        (string _, string unknown) = await qmp.FailAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "n", "iothread": ["one", "three"]}""");
        Assert.That(unknown, Is.EqualTo("iothread \"three\" not found"));
        (string _, string bound) = await qmp.FailAsync(
            "block-export-add", """{"type": "nbd", "id": "e", "node-name": "n", "iothread": ["one", "two"], "fixed-iothread": true}""");
        Assert.That(bound, Is.EqualTo("Cannot use fixed-iothread for a multi-threaded export"));
        (string _, string kind) = await qmp.FailAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "n", "iothread": 1}""");
        Assert.That(kind, Does.StartWith("Invalid parameter type for 'iothread'"));

        await qmp.ExecuteAsync("block-export-add", """{"type": "nbd", "id": "e", "node-name": "n", "iothread": ["one", "two"]}""");
        Assert.That(Tool.Run("nbdinfo", "--size", $"nbd+unix:///n?socket={directory.File("nbd")}").Trim(), Is.EqualTo("1048576"));
    }
}
