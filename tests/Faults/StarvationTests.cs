using System.Globalization;
using System.Net.Sockets;
using NUnit.Framework;
using Testing;

namespace Faults;

/// <summary>More clients than the system has descriptors for: some are turned away, and who is there is served on.</summary>
public sealed class StarvationTests
{
    private const int DescriptorLimit = 120;

    [TestCase("qmp")]
    [TestCase("nbd")]
    public async Task A_flood_of_clients_takes_neither_the_daemon_nor_its_last_descriptors(string target)
    {
        using var directory = new TemporaryDirectory();
        string nbd = directory.File("nbd");
        await using DaemonProcess daemon = DaemonProcess.Start(directory, "--nbd-server", $"addr.type=unix,addr.path={nbd}");
        using QmpTestClient client = await daemon.ConnectAsync();
        Tool.Run("prlimit", "--pid", daemon.Id.ToString(CultureInfo.InvariantCulture), $"--nofile={DescriptorLimit}");

        string path = target == "nbd" ? nbd : daemon.QmpPath;
        var flood = new List<Socket>();
        int served = 0;
        for (int i = 0; i < 2 * DescriptorLimit; i++)
        {
            flood.Add(await daemon.ConnectSocketAsync(path));
            served += await IsServedAsync(flood[^1]) ? 1 : 0;
        }

        Assert.That(served, Is.InRange(10, DescriptorLimit), "clients that were greeted");
        File.WriteAllBytes(directory.File("raw"), new byte[65536]);
        await client.ExecuteAsync("blockdev-add", $$"""{"driver": "file", "node-name": "late", "filename": "{{directory.File("raw")}}"}""");
        await client.ExecuteAsync("human-monitor-command", """{"command-line": "qemu-io late \"write -P 1 0 64k\""}""");
        Assert.That(File.ReadAllBytes(directory.File("raw")), Has.All.EqualTo(1));

        flood.ForEach(socket => socket.Dispose());
        bool isServedAgain = false;
        while (!isServedAgain)
        {
            using Socket later = await daemon.ConnectSocketAsync(path);
            isServedAgain = await IsServedAsync(later);
        }
    }

    private static async Task<bool> IsServedAsync(Socket socket)
    {
        try
        {
            return await socket.ReceiveAsync(new byte[1]) > 0;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
