using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Writes on null-co with no bitmap and with 64: what a bitmap costs every write.</summary>
internal sealed class BitmapWriteScenario : IScenario
{
    private const long SizeBytes = 64L << 30;
    private const int Bitmaps = 64;

    public string Name => "bitmaps";

    public void Run(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run, withNbd: true);
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = "n", ["size"] = SizeBytes });
        daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "n", ["writable"] = true });
        NbdLoad.Measure(daemon, "n", write: true, SizeBytes, 16, run.Burst, "null-co 4K write qd16, 0 bitmaps", record);
        for (int i = 0; i < Bitmaps; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", new JsonObject { ["node"] = "n", ["name"] = $"b{i}", ["granularity"] = 65536 });
        }

        NbdLoad.Measure(daemon, "n", write: true, SizeBytes, 16, run.Burst, $"null-co 4K write qd16, {Bitmaps} bitmaps", record);
    }
}
