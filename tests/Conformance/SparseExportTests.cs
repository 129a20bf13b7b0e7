using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What zeroes written over NBD leave of a file's space, beside qemu-storage-daemon; nobody gave the nodes options for discards.</summary>
public sealed class SparseExportTests
{
    [TestCase("write -P 5 0 1M", 2048)]
    [TestCase("write -P 5 0 1M|write -z -u 0 512k", 1024)]
    [TestCase("write -P 5 0 1M|write -z 0 512k", 2048)]
    [TestCase("write -P 5 0 1M|discard 0 512k", 2048)]
    [TestCase("write -z -u 0 1M", 0)]
    public void Zeroes_give_space_back_unless_the_client_says_no(string commands, int sectors)
    {
        int theirs = SectorsLeft("qemu-storage-daemon", commands);
        Assert.That(theirs, Is.EqualTo(sectors), "QEMU");
        Assert.That(SectorsLeft(Repository.Daemon, commands), Is.EqualTo(sectors));
    }

    private static int SectorsLeft(string program, string commands)
    {
        using var directory = new TemporaryDirectory();
        string image = Path.Combine(directory.Path, "raw");
        string socket = Path.Combine(directory.Path, "nbd");
        Tool.Run("truncate", "-s", "1M", image);
        DaemonProcess daemon = DaemonProcess.Start(
            program,
            directory,
            "--blockdev",
            $"driver=raw,node-name=n,file.driver=file,file.filename={image}",
            "--nbd-server",
            $"addr.type=unix,addr.path={socket}",
            "--export",
            "type=nbd,id=e,node-name=n,name=e,writable=on");
        try
        {
            daemon.ConnectAsync().GetAwaiter().GetResult().Dispose();
            Tool.Run("qemu-io", ["-f", "raw", .. commands.Split('|').SelectMany(command => new[] { "-c", command }), $"nbd+unix:///e?socket={socket}"]);
            return int.Parse(Tool.Run("stat", "-c", "%b", image));
        }
        finally
        {
            daemon.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }
}
