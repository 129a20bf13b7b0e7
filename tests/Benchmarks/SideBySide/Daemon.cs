using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;

namespace Benchmarks.SideBySide;

/// <summary>A daemon under test: started with a QMP socket, and with an NBD server when asked; ended when disposed.</summary>
internal sealed class Daemon : IDisposable
{
    /// <summary>qemu-storage-daemon 7.2 now and then greets a client that came while it started, and never answers; it is started again then.</summary>
    private const int Starts = 5;

    private readonly ProcessStartInfo _start;
    private Process _process;

    public Daemon(BenchRun run, bool withNbd = false)
    {
        QmpPath = run.Work.Run("qmp.sock");
        NbdPath = run.Work.Run("nbd.sock");
        List<string> arguments = withNbd ? ["--nbd-server", $"addr.type=unix,addr.path={NbdPath}"] : [];
        arguments.AddRange(["--chardev", $"socket,path={QmpPath},server=on,wait=off,id=m", "--monitor", "chardev=m"]);
        _start = new ProcessStartInfo(run.Program, arguments);
        (_process, Qmp) = StartUntilItAnswers();
    }

    public string QmpPath { get; }

    public string NbdPath { get; }

    public QmpConnection Qmp { get; }

    /// <summary>Time from spawn to the whole greeting.</summary>
    public TimeSpan ToGreeting { get; private set; }

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
        try
        {
            Qmp.Command("quit");
        }
        catch (Exception gone) when (gone is IOException or InvalidOperationException or SocketException or ObjectDisposedException)
        {
            _process.Kill();
        }

        Qmp.Dispose();
        End(Patience.Answer);
    }

    private (Process Process, QmpConnection Qmp) StartUntilItAnswers()
    {
        for (int start = 1; ; start++)
        {
            long began = Stopwatch.GetTimestamp();
            _process = Process.Start(_start)!;
            try
            {
                var session = new QmpConnection(ConnectWhenListening());
                ToGreeting = Stopwatch.GetElapsedTime(began);
                session.Command("qmp_capabilities");
                session.Wait = Patience.Answer;
                return (_process, session);
            }
            catch (Exception failure) when (failure is IOException or InvalidOperationException or SocketException)
            {
                _process.Kill();
                End(Patience.Start);
                if (start == Starts)
                {
                    throw;
                }
            }
        }
    }

    private void End(TimeSpan patience)
    {
        if (!_process.WaitForExit(patience))
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private Socket ConnectWhenListening()
    {
        var deadline = Stopwatch.StartNew();
        while (deadline.Elapsed < Patience.Start && !_process.HasExited)
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

        throw new InvalidOperationException($"{_start.FileName} never listened");
    }
}
