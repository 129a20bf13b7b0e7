using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Benchmarks.SideBySide;

/// <summary>A daemon under test: started with a QMP socket, and with an NBD server when asked; ended when disposed.</summary>
internal sealed class Daemon : IDisposable
{
    private readonly Process _process;

    public Daemon(BenchRun run, bool withNbd = false)
    {
        QmpPath = run.Work.Run("qmp.sock");
        NbdPath = run.Work.Run("nbd.sock");
        List<string> arguments = withNbd ? ["--nbd-server", $"addr.type=unix,addr.path={NbdPath}"] : [];
        arguments.AddRange(["--chardev", $"socket,path={QmpPath},server=on,wait=off,id=m", "--monitor", "chardev=m"]);
        long start = Stopwatch.GetTimestamp();
        _process = Process.Start(new ProcessStartInfo(run.Program, arguments))!;
        Qmp = new QmpConnection(ConnectWhenListening());
        ToGreeting = Stopwatch.GetElapsedTime(start);
        Qmp.Command("qmp_capabilities");
    }

    public string QmpPath { get; }

    public string NbdPath { get; }

    public QmpConnection Qmp { get; }

    /// <summary>Time from spawn to the whole greeting.</summary>
    public TimeSpan ToGreeting { get; }

    /// <summary>Seconds of CPU used so far, user and system.</summary>
    public double CpuSeconds() => ProcessClock.CpuSeconds(_process.Id);

    /// <summary>Resident memory in MiB.</summary>
    public double ResidentMiB()
    {
        string line = File.ReadLines($"/proc/{_process.Id}/status").First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024;
    }

    /// <summary>Opens a further session that has negotiated.</summary>
    public QmpConnection Connect()
    {
        var session = new QmpConnection(ConnectWhenListening());
        session.Command("qmp_capabilities");
        return session;
    }

    public void Dispose()
    {
        Qmp.Command("quit");
        Qmp.Dispose();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private Socket ConnectWhenListening()
    {
        var deadline = Stopwatch.StartNew();
        while (deadline.Elapsed < TimeSpan.FromSeconds(30) && !_process.HasExited)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                socket.Connect(new UnixDomainSocketEndPoint(QmpPath));
                return socket;
            }
            catch (SocketException)
            {
                socket.Dispose();
                Thread.Sleep(TimeSpan.FromMicroseconds(300));
            }
        }

        throw new InvalidOperationException($"{_process.StartInfo.FileName} never listened");
    }
}
