using System.Text;
using Monitor.Qapi;
using Monitor.Qmp;

namespace Unit.Qmp;

/// <summary>A server with a handful of commands on a UNIX socket in a directory of its own.</summary>
internal sealed class QmpTestServer : IDisposable
{
    public const string Greeting =
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"Monitor 0.1.0\"}, \"capabilities\": [\"oob\"]}}";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("qmp");

    public QmpTestServer(TimeProvider? time = null)
    {
        Events = new QmpEventBus(time ?? TimeProvider.System);
        var table = new QmpCommandTable();
        table.Add(new QmpCommand("ping", QmpCommandOptions.Lockless | QmpCommandOptions.AllowOob, (v, _) => NoArguments(v)));
        table.Add(new QmpCommand("noop", QmpCommandOptions.None, (v, _) => NoArguments(v)));
        table.Add(new QmpCommand("echo", QmpCommandOptions.ReturnsValue, Echo));
        table.Add(new QmpCommand("refuse", QmpCommandOptions.None, (_, _) => throw new QmpException(QmpErrorClass.DeviceNotFound, "no 'é'")));
        table.Add(new QmpCommand("break", QmpCommandOptions.None, (_, _) => throw new InvalidOperationException("bug")));
        table.Add(new QmpCommand("wait", QmpCommandOptions.None, (_, _) => WaitAsync()));
        table.Add(new QmpCommand("big", QmpCommandOptions.ReturnsValue, Big));
        Server = new QmpServer(new QmpDispatcher(table, new LockScheduler()), Events);
        Path = System.IO.Path.Combine(_directory.FullName, "s");
        Listen(Path);
    }

    public string Path { get; }

    public QmpServer Server { get; }

    public QmpEventBus Events { get; }

    /// <summary>Each permit completes one <c>wait</c> command.</summary>
    public SemaphoreSlim Waiters { get; } = new(0);

    /// <summary>Released when a <c>wait</c> command has begun.</summary>
    public SemaphoreSlim Started { get; } = new(0);

    public ChardevTable Chardevs { get; } = new();

    /// <summary>Adds a monitor on a UNIX socket.</summary>
    public void Listen(string path, bool isPretty = false)
    {
        var address = new UnixSocketAddressWrapper { Data = new UnixSocketAddress { Path = path } };
        var socket = new ChardevSocket { Addr = new SocketAddressLegacy { Type = SocketAddressType.Unix, Branch = address } };
        var backend = new ChardevBackend { Type = ChardevBackendKind.Socket, Branch = new ChardevSocketWrapper { Data = socket } };
        Server.AddMonitor(Chardevs.AddAsync($"c{Chardevs.All.Count}", backend).GetAwaiter().GetResult(), "m", isPretty);
    }

    public QmpTestClient Connect() => new(Path);

    public QmpTestClient ConnectNegotiated(bool oob = false)
    {
        var client = Connect();
        client.ReadLine();
        client.Send(oob ? "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}" : "{\"execute\":\"qmp_capabilities\"}");
        client.ReadLine();
        return client;
    }

    public void Dispose()
    {
        Waiters.Release(1000);
        Server.StopAsync().Wait();
        _directory.Delete(recursive: true);
        Waiters.Dispose();
        Started.Dispose();
    }

    private static ValueTask NoArguments(QmpInputVisitor v)
    {
        v.StartStruct(null);
        v.CheckStruct();
        v.EndStruct();
        return default;
    }

    private static ValueTask Echo(QmpInputVisitor v, IQmpReply reply)
    {
        v.StartStruct(null);
        var value = QmpValue.Read(v, "value");
        v.CheckStruct();
        v.EndStruct();
        value.Write(reply.Writer);
        return default;
    }

    private static ValueTask Big(QmpInputVisitor v, IQmpReply reply)
    {
        reply.Writer.WriteRaw(Encoding.ASCII.GetBytes('"' + new string('x', 1 << 20) + '"'));
        return default;
    }

    private async ValueTask WaitAsync()
    {
        Started.Release();
        await Waiters.WaitAsync();
    }

    private sealed class LockScheduler : SynchronizationContext, ITurnScheduler
    {
        private readonly Lock _lock = new();

        public void Run<TState>(Action<TState> turn, TState state)
        {
            var before = Current;
            lock (_lock)
            {
                SetSynchronizationContext(this);
                try
                {
                    turn(state);
                }
                finally
                {
                    SetSynchronizationContext(before);
                }
            }
        }

        public void Post(Action turn) => ThreadPool.QueueUserWorkItem(_ => Run(t => t(), turn));

        public override void Post(SendOrPostCallback d, object? state) => Post(() => d(state));
    }
}
