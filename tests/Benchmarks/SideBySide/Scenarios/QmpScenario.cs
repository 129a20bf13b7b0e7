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
        QmpLoad.Measure(daemon, run.Burst, Version, 1, "query-version, one at a time", record);
        QmpLoad.Measure(daemon, run.Burst, Version, 2000, "query-version, pipelined", record);
        if (Path.GetFileName(run.Program) != SingleClientDaemon)
        {
            MeasureIdleSessions(daemon, record);
        }

        for (int i = 0; i < Nodes; i++)
        {
            daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = $"n{i}", ["size"] = 1 << 30 });
        }

        QmpLoad.Measure(daemon, run.Burst, NodeList, 1, $"query-named-block-nodes, {Nodes} nodes, one at a time", record);
        QmpLoad.Measure(daemon, run.Burst, NodeList, 100, $"query-named-block-nodes, {Nodes} nodes, pipelined", record);
    }

    private static void MeasureIdleSessions(Daemon daemon, Record record)
    {
        double before = daemon.ResidentMiB();
        QmpConnection[] idle = [.. Enumerable.Range(0, IdleSessions).Select(_ => daemon.Connect())];
        record($"{IdleSessions} idle sessions", "MiB", Better.Less, daemon.ResidentMiB() - before);
        Array.ForEach(idle, session => session.Dispose());
    }
}
