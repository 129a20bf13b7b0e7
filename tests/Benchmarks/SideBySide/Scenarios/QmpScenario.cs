using System.Diagnostics;
using System.Text;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>QMP commands one at a time and pipelined.</summary>
internal sealed class QmpScenario : IScenario
{
    private const int PipelinedCommands = 2000;
    private const string Command = "{\"execute\": \"query-version\"}\n";

    public string Name => "qmp";

    public void Run(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run);
        Measure(daemon, run.Burst, 1, "query-version, one at a time", record);
        Measure(daemon, run.Burst, PipelinedCommands, "query-version, pipelined", record);
    }

    private static void Measure(Daemon daemon, TimeSpan burst, int batch, string name, Record record)
    {
        byte[] commands = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat(Command, batch)));
        daemon.Qmp.Exchange(commands, batch);
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        long done = 0;
        while (clock.Elapsed < burst)
        {
            daemon.Qmp.Exchange(commands, batch);
            done += batch;
        }

        record(name, "/s", Better.More, done / clock.Elapsed.TotalSeconds);
        record($"{name}, CPU", "µs", Better.Less, (daemon.CpuSeconds() - cpu) * 1e6 / done);
    }
}
