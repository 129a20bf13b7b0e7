using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>QMP commands one at a time and pipelined: a small reply, and one of 25 KB. Memory of idle sessions.</summary>
internal sealed class QmpScenario : IScenario
{
    private const int Nodes = 50;
    private const int IdleSessions = 100;
    private const string Version = "{\"execute\": \"query-version\"}\n";
    private const string NodeList = "{\"execute\": \"query-named-block-nodes\"}\n";

    /// <summary>Its monitor serves one client and keeps the next waiting.</summary>
    private const string SingleClientDaemon = "qemu-storage-daemon";

    public string Name => "qmp";

    public string Description => "commands one at a time and pipelined, replies small and large; memory of 100 idle sessions";

    public void Run(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run);
        Measure(daemon, run.Burst, Version, 1, "query-version, one at a time", record);
        Measure(daemon, run.Burst, Version, 2000, "query-version, pipelined", record);
        if (Path.GetFileName(run.Program) != SingleClientDaemon)
        {
            MeasureIdleSessions(daemon, record);
        }

        for (int i = 0; i < Nodes; i++)
        {
            daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = $"n{i}", ["size"] = 1 << 30 });
        }

        Measure(daemon, run.Burst, NodeList, 1, $"query-named-block-nodes, {Nodes} nodes, one at a time", record);
        Measure(daemon, run.Burst, NodeList, 100, $"query-named-block-nodes, {Nodes} nodes, pipelined", record);
    }

    private static void Measure(Daemon daemon, TimeSpan burst, string command, int batch, string name, Record record)
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

    private static void MeasureIdleSessions(Daemon daemon, Record record)
    {
        double before = daemon.ResidentMiB();
        QmpConnection[] idle = [.. Enumerable.Range(0, IdleSessions).Select(_ => daemon.Connect())];
        record($"{IdleSessions} idle sessions", "MiB", Better.Less, daemon.ResidentMiB() - before);
        Array.ForEach(idle, session => session.Dispose());
    }
}
