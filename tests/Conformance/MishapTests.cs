using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
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

        // The replies are more than makes the session stop reading, and less than makes it close.
        await mute.SendAsync(Encoding.ASCII.GetBytes("""{"execute": "qmp_capabilities"}""" + string.Concat(Enumerable.Repeat("""{"execute": "query-qmp-schema"}""", 600))));
        await other.ExecuteAsync("query-qmp-schema");
        await other.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
    }

    /// <summary>Whoever started the daemon has the socket too, and goes on with it.</summary>
    [TestCase("--chardev socket,id=c,server=on,wait=off,fd={0} --monitor c")]
    [TestCase("--nbd-server addr.type=fd,addr.str={0}")]
    public async Task A_listening_socket_that_others_share_does_not_hold_up_the_end(string options)
    {
        using var shared = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        shared.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        shared.Listen();
        EndPoint place = shared.LocalEndPoint!;
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, string.Format(CultureInfo.InvariantCulture, options, InheritedDescriptors.Share(shared)).Split(' '));
        using QmpTestClient client = await daemon.ConnectAsync();
        using (var served = new Socket(SocketType.Stream, ProtocolType.Tcp))
        {
            await served.ConnectAsync(place);
            Assert.That(await served.ReceiveAsync(new byte[1]), Is.EqualTo(1), "nobody greets");
        }

        await client.ExecuteAsync("quit");
        Assert.That(await daemon.WaitForExitAsync(), Is.Zero, daemon.Error);
        using var again = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await again.ConnectAsync(place);
        using Socket accepted = await shared.AcceptAsync();
    }

    [Test]
    public async Task A_connection_is_shown_as_the_real_daemon_shows_it([Values("127.0.0.1", "::1")] string host, [Values] bool isServer)
    {
        string[] shown = [await ShowConnectionAsync(Repository.Daemon, host, isServer), await ShowConnectionAsync("qemu-storage-daemon", host, isServer)];
        Assert.That(shown[0], Is.EqualTo(shown[1]));
    }

    [Test]
    public async Task A_server_listens_on_every_local_address([Values("0.0.0.0", "::", "")] string host)
    {
        await using DaemonProcess daemon = DaemonProcess.Start(
            _directory, "--chardev", $"socket,id=c,host={host},port=0,server=on,wait=off", "--nbd-server", $"addr.type=inet,addr.host={host},addr.port=0", "--monitor", "c");
        using QmpTestClient client = await daemon.ConnectAsync();
        string name = (string)(await client.ExecuteAsync("query-chardev")).AsArray().Single(chardev => (string?)chardev!["label"] == "c")!["filename"]!;
        int port = int.Parse(Regex.Match(name, @":(\d+),").Groups[1].Value, CultureInfo.InvariantCulture);
        using var connection = new TcpClient();
        await connection.ConnectAsync(IPAddress.Loopback, port);
        await connection.GetStream().ReadExactlyAsync(new byte[1]);
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

    /// <summary>What <c>query-chardev</c> says of a connection over TCP, without the numbers of its ports.</summary>
    private async Task<string> ShowConnectionAsync(string program, string host, bool isServer)
    {
        using var listener = new TcpListener(IPAddress.Parse(host), 0);
        listener.Start();
        int port = ((IPEndPoint)listener.LocalEndpoint).Port;
        if (isServer)
        {
            listener.Stop();
        }

        await using DaemonProcess daemon = DaemonProcess.Start(
            program, _directory, "--chardev", string.Create(CultureInfo.InvariantCulture, $"socket,id=c,host={host},port={port},server={(isServer ? "on,wait=off" : "off")}"), "--monitor", "chardev=c,id=c");
        using QmpTestClient client = await daemon.ConnectAsync();
        using TcpClient connection = isServer ? new TcpClient(host, port) : await listener.AcceptTcpClientAsync();
        await connection.GetStream().ReadExactlyAsync(new byte[1]);
        JsonNode chardevs = await client.ExecuteAsync("query-chardev");
        string name = (string)chardevs.AsArray().Single(chardev => (string?)chardev!["label"] == "c")!["filename"]!;
        return Regex.Replace(name, @":\d+(?=,| |$)", ":PORT");
    }
}
