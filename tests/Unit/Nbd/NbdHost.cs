using Monitor.Block;
using Monitor.Block.Bitmaps;
using Monitor.Qapi;
using Monitor.Storage.Exports;
using NUnit.Framework;
using Unit.Drivers;
using BlockPermission = Monitor.Block.BlockPermission;

namespace Unit.Nbd;

/// <summary>A server on a UNIX socket with one writable export <c>e</c> of a memory node.</summary>
public sealed class NbdHost : IDisposable
{
    public const int SizeBytes = 8 << 20;

    private readonly TestGraph _graph = new();
    private readonly string _directory = Directory.CreateTempSubdirectory("nbd-").FullName;

    public NbdHost(uint maxConnections = 0, TimeProvider? time = null, Func<MemoryNode, NbdExportOptions>? options = null, bool readOnly = false, int sizeBytes = SizeBytes)
    {
        Node = new MemoryNode(sizeBytes, readOnly);
        Backend = _graph.AttachRoot(
            Node, readOnly ? BlockPermission.ConsistentRead : BlockPermission.ConsistentRead | BlockPermission.Write, BlockPermission.All);
        Server = NbdServer.StartAsync(Unix(Path), maxConnections, time).GetAwaiter().GetResult();
        Export = new NbdExport(Backend, options?.Invoke(Node) ?? new NbdExportOptions { Id = "id", Name = "e", Writable = !readOnly });
        Server.Add(Export);
    }

    public MemoryNode Node { get; }

    public BlockBackend Backend { get; }

    public NbdServer Server { get; private set; }

    public NbdExport Export { get; private set; }

    public string Path => System.IO.Path.Combine(_directory, "s");

    public static SocketAddress Unix(string path) =>
        new() { Type = SocketAddressType.Unix, Branch = new UnixSocketAddress { Path = path } };

    public NbdScriptedClient Connect() => new(Path);

    /// <summary>Ends the server and every connection.</summary>
    public void Stop() => Turn(Server.StopAsync);

    /// <summary>Starts a server that was stopped again, at the same place.</summary>
    public void Restart()
    {
        Server = NbdServer.StartAsync(Unix(Path), 0).GetAwaiter().GetResult();
        Export = new NbdExport(Backend, new NbdExportOptions { Id = "id", Name = "e", Writable = true });
        Server.Add(Export);
    }

    /// <summary>Runs control-plane code to its end.</summary>
    public void Turn(Func<Task> work) => Assert.That(_graph.Loop.RunAsync(work).Wait(NbdScriptedClient.Patience), Is.True, "it never ended");

    /// <summary>Runs one turn.</summary>
    public void Turn(Action work) => _graph.Turn(work);

    /// <summary>Waits for something another thread does; fails after a long time.</summary>
    public static void Await(Func<bool> condition, string what) =>
        Assert.That(SpinWait.SpinUntil(condition, NbdScriptedClient.Patience), Is.True, what);

    public DirtyBitmap AddBitmap(string name)
    {
        DirtyBitmap? bitmap = null;
        _graph.Turn(() => bitmap = Node.Bitmaps.Add(name, 65536));
        return bitmap!;
    }

    public void Dispose()
    {
        Turn(Server.StopAsync);
        _graph.Dispose();
        Directory.Delete(_directory, recursive: true);
    }
}
