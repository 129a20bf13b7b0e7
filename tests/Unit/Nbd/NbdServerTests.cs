using Monitor.Block.Bitmaps;
using Monitor.Nbd;
using Monitor.Qapi;
using Monitor.Storage.Exports;
using NUnit.Framework;

namespace Unit.Nbd;

/// <summary>The lives of servers, exports and connections.</summary>
public sealed class NbdServerTests
{
    [Test]
    public void A_client_that_idles_in_the_handshake_is_dropped_after_10_seconds()
    {
        var time = new ManualTime();
        using var host = new NbdHost(time: time);
        using NbdScriptedClient idle = host.Connect();
        idle.ReadBytes(NbdGreeting.Size);
        using NbdScriptedClient served = host.Connect().Go();
        time.Advance(TimeSpan.FromSeconds(9.9));
        NbdClientHandshake.Ask(BeginLate(idle), NbdOption.List, []);
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.That(idle.Stream.ReadByte(), Is.EqualTo(-1));
        served.Send(NbdCommand.Flush, 0, 0);
        Assert.That(served.ReadSimple().Error, Is.EqualTo(NbdError.None));
    }

    [Test]
    public void Clients_above_the_limit_wait_until_one_leaves()
    {
        using var host = new NbdHost(maxConnections: 1);
        NbdScriptedClient first = host.Connect().Go();
        using NbdScriptedClient second = host.Connect();
        Assert.That(host.Server.ConnectionCount, Is.EqualTo(1));
        first.Dispose();
        second.Go();
        Assert.That(host.Server.ConnectionCount, Is.EqualTo(1));
    }

    [Test]
    public void Safe_removal_is_refused_while_clients_are_connected()
    {
        using var host = new NbdHost();
        using (NbdScriptedClient client = host.Connect().Go())
        {
            QmpException? error = Assert.Throws<QmpException>(() => host.Export.RemoveAsync(BlockExportRemoveMode.Safe));
            Assert.That(error!.Message, Is.EqualTo("export 'id' still in use"));
            client.Send(NbdCommand.Flush, 0, 0);
            Assert.That(client.ReadSimple().Error, Is.EqualTo(NbdError.None));
        }

        NbdHost.Await(() => host.Export.ConnectionCount == 0, "the client stayed");
        host.Turn(() => host.Export.RemoveAsync(BlockExportRemoveMode.Safe));
        Assert.That(host.Server.Exports, Is.Empty);
    }

    [Test]
    public async Task A_client_that_has_hung_up_is_no_client_though_a_request_of_it_is_on_its_way()
    {
        using var host = new NbdHost();
        host.Node.CloseGate();
        using (NbdScriptedClient client = host.Connect().Go())
        {
            client.Send(NbdCommand.Write, 0, 3, payload: [1, 2, 3]);
            NbdHost.Await(() => host.Node.Waiting == 1, "the write never came");
        }

        Task removal = host.Export.RemoveAsync(BlockExportRemoveMode.Safe);
        Assert.That(removal.IsCompleted, Is.False);
        host.Node.OpenGate();
        await removal;
        Assert.That(host.Node.Bytes[..3].ToArray(), Is.EqualTo(new byte[] { 1, 2, 3 }));
    }

    [Test]
    public void Hard_removal_drops_the_clients_and_frees_bitmaps_after_the_requests_on_their_way()
    {
        DirtyBitmap? bitmap = null;
        using var host = new NbdHost(options: node => new NbdExportOptions
        {
            Id = "id",
            Name = "e",
            Writable = true,
            Bitmaps = [bitmap = node.Bitmaps.Add("b0", 65536)],
        });
        using NbdScriptedClient client = host.Connect().Go();
        host.Node.CloseGate();
        client.Send(NbdCommand.Write, 0, 3, payload: [1, 2, 3]);
        NbdHost.Await(() => host.Node.Waiting == 1, "the write never came");
        NbdExport? removed = null;
        host.Export.Removed = export => removed = export;
        Task? removal = null;
        host.Turn(() => { removal = host.Export.RemoveAsync(BlockExportRemoveMode.Hard); });
        Assert.That(client.Stream.ReadByte(), Is.EqualTo(-1));
        Assert.That(host.Export.IsShuttingDown, Is.True);
        Assert.That((removal!.IsCompleted, removed, bitmap!.IsBusy), Is.EqualTo((false, (NbdExport?)null, true)));
        host.Node.OpenGate();
        Assert.That(removal.Wait(NbdScriptedClient.Patience), Is.True);
        Assert.That((removed, bitmap.IsBusy), Is.EqualTo(((NbdExport?)host.Export, false)));
        Assert.That(host.Node.Bytes[..3].ToArray(), Is.EqualTo(new byte[] { 1, 2, 3 }));
    }

    [Test]
    public void Stop_removes_the_exports_the_clients_and_the_socket()
    {
        using var host = new NbdHost();
        using NbdScriptedClient client = host.Connect().Go();
        using NbdScriptedClient idle = host.Connect();
        idle.ReadBytes(NbdGreeting.Size);
        int removed = 0;
        host.Export.Removed = _ => removed++;
        host.Turn(host.Server.StopAsync);
        Assert.That(client.Stream.ReadByte(), Is.EqualTo(-1));
        Assert.That(idle.Stream.ReadByte(), Is.EqualTo(-1));
        Assert.That((removed, host.Server.ConnectionCount, File.Exists(host.Path)), Is.EqualTo((1, 0, false)));
    }

    [Test]
    public void A_name_is_given_once()
    {
        using var host = new NbdHost();
        var second = new NbdExport(host.Backend, new NbdExportOptions { Id = "other", Name = "e" });
        QmpException? error = Assert.Throws<QmpException>(() => host.Server.Add(second));
        Assert.That(error!.Message, Is.EqualTo("NBD server already has export named 'e'"));
    }

    [Test]
    public void A_busy_bitmap_is_refused_and_those_before_it_are_given_back()
    {
        using var host = new NbdHost();
        DirtyBitmap free = host.AddBitmap("free");
        DirtyBitmap busy = host.AddBitmap("busy");
        busy.Owner.SetBusy(busy);
        var options = new NbdExportOptions { Id = "i", Name = "n", Writable = true, Bitmaps = [free, busy] };
        QmpException? error = Assert.Throws<QmpException>(() => _ = new NbdExport(host.Backend, options));
        Assert.That(error!.Message, Is.EqualTo("Bitmap 'busy' is currently in use by another operation and cannot be used"));
        Assert.That(free.IsBusy, Is.False);
    }

    [Test]
    public async Task It_listens_on_tcp_and_takes_the_next_free_port_of_a_range()
    {
        using var taken = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        taken.Start();
        int port = ((System.Net.IPEndPoint)taken.LocalEndpoint).Port;
        QmpException? error = await Assert.ThrowsAsync<QmpException>(() => NbdServer.StartAsync(Inet(port, port)));
        Assert.That(error!.Message, Is.EqualTo("Failed to find an available port: Address already in use"));
        NbdServer server = await NbdServer.StartAsync(Inet(port, port + 20));
        await server.StopAsync();
    }

    [Test]
    public async Task A_path_that_cannot_be_bound_is_an_error_of_the_client()
    {
        QmpException? error = await Assert.ThrowsAsync<QmpException>(() => NbdServer.StartAsync(NbdHost.Unix("/nonexistent/s")));
        Assert.That(error!.Message, Is.EqualTo("Failed to bind socket to /nonexistent/s: No such file or directory"));
    }

    private static SocketAddress Inet(int port, int to) => new()
    {
        Type = SocketAddressType.Inet,
        Branch = new InetSocketAddress { Host = "127.0.0.1", Port = $"{port}", To = (ushort)Math.Min(to, 65535) },
    };

    private static Stream BeginLate(NbdScriptedClient client)
    {
        client.Stream.Write([0, 0, 0, 3]);
        return client.Stream;
    }
}
