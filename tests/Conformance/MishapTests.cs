using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using NUnit.Framework;
using Testing;

namespace Conformance;

/// <summary>What happens around a monitor and must neither end the daemon nor keep it from its end: its bitmaps would be lost.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class MishapTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Test]
    public async Task A_socket_whose_directory_is_gone_does_not_spoil_the_end()
    {
        string image = _directory.File("image.qcow2");
        Tool.Run("qemu-img", "create", "-q", "-f", "qcow2", image, "1M");
        string gone = Directory.CreateDirectory(_directory.File("gone")).FullName;
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--blockdev", $"qcow2,node-name=n,file.driver=file,file.filename={image}", "--qmp", $"unix:{gone}/qmp",
            "--nbd-server", $"addr.type=unix,addr.path={gone}/nbd", "--pidfile", $"{gone}/pid");
        using QmpTestClient client = await daemon.ConnectAsync();
        await client.ExecuteAsync("block-dirty-bitmap-add", """{"node": "n", "name": "kept", "persistent": true}""");
        Directory.Delete(gone, recursive: true);
        await client.ExecuteAsync("quit");

        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
        Assert.That(Tool.Run("qemu-img", "info", image), Does.Contain("name: kept"));
    }

    [Test]
    public async Task A_client_that_reads_nothing_does_not_hold_up_the_end()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(_directory);
        using QmpTestClient other = await daemon.ConnectAsync();
        using Socket mute = await daemon.ConnectSocketAsync(daemon.QmpPath);
        byte[] requests = Encoding.ASCII.GetBytes("""{"execute": "qmp_capabilities"}""" + string.Concat(Enumerable.Repeat("""{"execute": "query-qmp-schema"}""", 10_000)));
        mute.Blocking = false;
        for (int sent = 0; sent < requests.Length && mute.Poll(TimeSpan.FromSeconds(1), SelectMode.SelectWrite);)
        {
            sent += mute.Send(requests.AsSpan(sent));
        }

        await other.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
    }

    [TestCase("sleep 100000000")]
    [TestCase("wait_break never")]
    public async Task A_line_that_never_ends_does_not_hold_up_the_end(string command)
    {
        string human = _directory.File("human");
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--blockdev", "blkdebug,node-name=n,image.driver=null-co", "--chardev", $"socket,id=h,path={human},server=on,wait=off",
            "--monitor", "chardev=h,mode=readline");
        using QmpTestClient client = await daemon.ConnectAsync();
        using Socket person = await daemon.ConnectSocketAsync(human);
        using var reader = new StreamReader(new NetworkStream(person));
        await reader.ReadLineAsync();
        await person.SendAsync(Encoding.ASCII.GetBytes($"stop\nqemu-io n \"{command}\"\n"));
        await client.WaitEventAsync("STOP");

        await client.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
    }

    [Test]
    public async Task A_log_on_a_full_disk_does_not_end_its_monitor()
    {
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--chardev", $"socket,id=c,path={_directory.File("logged")},server=on,wait=off,logfile=/dev/full", "--monitor", "c");
        using QmpTestClient other = await daemon.ConnectAsync();
        using var logged = new QmpTestClient(await daemon.ConnectSocketAsync(_directory.File("logged")));
        await logged.NegotiateAsync();
        await logged.ExecuteAsync("stop");
        await logged.WaitEventAsync("STOP");

        await other.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
    }

    [Test]
    public async Task A_server_that_resets_every_connection_does_not_end_its_client()
    {
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        int port = ((IPEndPoint)server.LocalEndpoint).Port;
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--chardev", string.Create(CultureInfo.InvariantCulture, $"socket,id=c,host=127.0.0.1,port={port},server=off,reconnect=1"), "--monitor", "c");
        using QmpTestClient client = await daemon.ConnectAsync();
        for (int i = 0; i < 3; i++)
        {
            using Socket connection = await server.AcceptSocketAsync();
            connection.LingerState = new LingerOption(true, 0);
        }

        await client.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
    }
}
