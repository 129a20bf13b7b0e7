using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Nodes in number: adding and removing one, the memory of an open one, the queries over 100.</summary>
internal sealed class NodeScenario : IScenario
{
    private const long SizeBytes = 1L << 30;
    private const int Open = 100;
    private const string NodeList = "{\"execute\": \"query-named-block-nodes\"}\n";
    private const string Statistics = "{\"execute\": \"query-blockstats\", \"arguments\": {\"query-nodes\": true}}\n";

    public string Name => "nodes";

    public string Description => $"adding and removing nodes, memory of an open node, queries over {Open} nodes";

    public void Prepare(WorkDirectory work)
    {
        for (int i = 0; i < Open; i++)
        {
            WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", Image(work, i), $"{SizeBytes}");
        }
    }

    public void Run(BenchRun run, Record record)
    {
        Churn(run, "null-co", Null(0), record);
        Churn(run, "qcow2", Qcow2(run.Work, 0), record);
        Hold(run, "qcow2", i => Qcow2(run.Work, i), record, _ => { });
        Hold(run, "null-co", Null, record, daemon =>
        {
            QmpLoad.Measure(daemon, run.Burst, NodeList, 1, $"query-named-block-nodes, {Open} nodes", record);
            QmpLoad.Measure(daemon, run.Burst, Statistics, 1, $"query-blockstats, {Open} nodes", record);
        });
    }

    /// <summary>Adds and removes one node for a while.</summary>
    private static void Churn(BenchRun run, string driver, JsonObject node, Record record)
    {
        using var daemon = new Daemon(run);
        AddAndRemove();
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        long done = 0;
        for (; clock.Elapsed < run.Burst; done++)
        {
            AddAndRemove();
        }

        record($"blockdev-add and -del of {driver}", "/s", Better.More, done / clock.Elapsed.TotalSeconds);
        record($"blockdev-add and -del of {driver}, CPU", "µs", Better.Less, (daemon.CpuSeconds() - cpu) * 1e6 / done);

        void AddAndRemove()
        {
            daemon.Qmp.Command("blockdev-add", node);
            daemon.Qmp.Command("blockdev-del", new JsonObject { ["node-name"] = (string)node["node-name"]! });
        }
    }

    /// <summary>Opens <see cref="Open"/> nodes in a fresh daemon; the first, which brings the code with it, does not count as memory.</summary>
    private static void Hold(BenchRun run, string driver, Func<int, JsonObject> node, Record record, Action<Daemon> then)
    {
        using var daemon = new Daemon(run);
        daemon.Qmp.Command("blockdev-add", node(0));
        double before = daemon.ResidentMiB();
        for (int i = 1; i < Open; i++)
        {
            daemon.Qmp.Command("blockdev-add", node(i));
        }

        record($"memory of an open {driver} node", "KiB", Better.Less, (daemon.ResidentMiB() - before) * 1024 / (Open - 1));
        then(daemon);
    }

    private static JsonObject Null(int number) => new() { ["driver"] = "null-co", ["node-name"] = $"n{number}", ["size"] = SizeBytes };

    private static JsonObject Qcow2(WorkDirectory work, int number) => new()
    {
        ["driver"] = "qcow2",
        ["node-name"] = $"n{number}",
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = Image(work, number) },
    };

    private static string Image(WorkDirectory work, int number) => work.Shared($"node{number}.qcow2");
}
