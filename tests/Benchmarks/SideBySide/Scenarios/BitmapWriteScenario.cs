using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Writes on null-co with no bitmap, with 64, with 1,000, with a mirror at READY and none or 64: what a bitmap costs every write.</summary>
internal sealed class BitmapWriteScenario : IScenario
{
    private const long SizeBytes = 64L << 30;
    private const int Some = 64;
    private const int Many = 1000;

    public string Name => "bitmaps";

    public string Description => "what bitmaps and a mirror cost every write: none, 64, 1,000";

    public void Run(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run, withNbd: true);
        AddNode(daemon, "n");
        daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "n", ["writable"] = true });
        AddNode(daemon, "target");
        Measure("0 bitmaps");
        MeasureMirrored("0 bitmaps");
        AddBitmaps(daemon, 0, Some);
        Measure($"{Some} bitmaps");
        MeasureMirrored($"{Some} bitmaps");
        AddBitmaps(daemon, Some, Many);
        Measure($"{Many} bitmaps");

        void MeasureMirrored(string what)
        {
            daemon.Qmp.Command("blockdev-mirror", new JsonObject { ["job-id"] = "m", ["device"] = "n", ["target"] = "target", ["sync"] = "none" });
            daemon.Qmp.WaitEvent("BLOCK_JOB_READY");
            Measure($"{what}, mirror ready");
            daemon.Qmp.Command("job-cancel", new JsonObject { ["id"] = "m" });
            daemon.Qmp.WaitEvent("BLOCK_JOB_CANCELLED");
        }

        void Measure(string what) => NbdLoad.Measure(daemon, "n", write: true, SizeBytes, 16, run.Burst, $"null-co 4K write qd16, {what}", record);
    }

    private static void AddNode(Daemon daemon, string nodeName) =>
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = nodeName, ["size"] = SizeBytes });

    private static void AddBitmaps(Daemon daemon, int first, int end)
    {
        for (int i = first; i < end; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", new JsonObject { ["node"] = "n", ["name"] = $"b{i}", ["granularity"] = 65536 });
        }
    }
}
