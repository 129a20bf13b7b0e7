using System.Diagnostics;
using System.Text;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Repeats one QMP command and records its rate and the daemon's CPU per command.</summary>
internal static class QmpLoad
{
    public static void Measure(Daemon daemon, TimeSpan burst, string command, int batch, string name, Record record)
    {
        byte[] commands = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(command, batch)));
        daemon.Qmp.Pipeline(commands, batch, TimeSpan.Zero);
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        long done = 0;
        if (batch > 1)
        {
            done = daemon.Qmp.Pipeline(commands, batch, burst);
        }
        else
        {
            for (; clock.Elapsed < burst; done++)
            {
                daemon.Qmp.Exchange(commands);
            }
        }

        record(name, "/s", Better.More, done / clock.Elapsed.TotalSeconds);
        record($"{name}, CPU", "µs", Better.Less, (daemon.CpuSeconds() - cpu) * 1e6 / done);
    }
}
