using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Bitmaps in number: a transaction that adds 1,000, a merge of 64 large ones, 65 stored in and loaded from an image.</summary>
internal sealed class BitmapCommandScenario : IScenario
{
    private const long SizeBytes = 1L << 40;
    private const int Added = 1000;
    private const int Merged = 64;

    public string Name => "bitmap-commands";

    public void Run(BenchRun run, Record record)
    {
        AddMany(run, record);
        MergeMany(run, record);
        StoreAndLoad(run, record);
    }

    private static void AddMany(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run);
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = "n", ["size"] = SizeBytes });
        var actions = new JsonArray();
        for (int i = 0; i < Added; i++)
        {
            actions.Add((JsonNode)new JsonObject { ["type"] = "block-dirty-bitmap-add", ["data"] = Bitmap($"b{i}") });
        }

        Time(record, $"transaction adding {Added} bitmaps to 1 TiB", () => daemon.Qmp.Command("transaction", new JsonObject { ["actions"] = actions }));
    }

    private static void MergeMany(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run, withNbd: true);
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = "n", ["size"] = SizeBytes });
        AddBitmaps(daemon, persistent: false);
        Dirty(daemon, run);
        daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("sum"));
        var sources = new JsonArray();
        for (int i = 0; i < Merged; i++)
        {
            sources.Add((JsonNode)$"b{i}");
        }

        var arguments = new JsonObject { ["node"] = "n", ["target"] = "sum", ["bitmaps"] = sources };
        Time(record, $"merge of {Merged} bitmaps of 1 TiB", () => daemon.Qmp.Command("block-dirty-bitmap-merge", arguments));
    }

    private static void StoreAndLoad(BenchRun run, Record record)
    {
        string image = run.Work.Run("bitmaps.qcow2");
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", image, $"{SizeBytes}");
        using var daemon = new Daemon(run, withNbd: true);
        AddImage(daemon, image);
        AddBitmaps(daemon, persistent: true);
        daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("last", persistent: true));
        Dirty(daemon, run);
        Time(record, $"store of {Merged + 1} bitmaps", () => daemon.Qmp.Command("blockdev-del", new JsonObject { ["node-name"] = "n" }));
        Time(record, $"load of {Merged + 1} bitmaps", () => AddImage(daemon, image));
        if (run.Verify)
        {
            daemon.Qmp.Command("blockdev-del", new JsonObject { ["node-name"] = "n" });
            WorkDirectory.Tool("qemu-img", "check", "-q", image);
        }
    }

    private static void AddImage(Daemon daemon, string image) => daemon.Qmp.Command("blockdev-add", new JsonObject
    {
        ["driver"] = "qcow2",
        ["node-name"] = "n",
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = image },
    });

    private static void AddBitmaps(Daemon daemon, bool persistent)
    {
        for (int i = 0; i < Merged; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap($"b{i}", persistent));
        }
    }

    /// <summary>Scatters writes over the disk, then takes the export away.</summary>
    private static void Dirty(Daemon daemon, BenchRun run)
    {
        daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "n", ["writable"] = true });
        NbdLoad.Measure(daemon, "n", write: true, SizeBytes, 16, run.Burst, "", (_, _, _, _) => { });
        daemon.Qmp.Command("block-export-del", new JsonObject { ["id"] = "e", ["mode"] = "hard" });
        daemon.Qmp.WaitEvent("BLOCK_EXPORT_DELETED");
    }

    private static JsonObject Bitmap(string name, bool persistent = false) =>
        new() { ["node"] = "n", ["name"] = name, ["granularity"] = 65536, ["persistent"] = persistent };

    private static void Time(Record record, string name, Action action)
    {
        var clock = Stopwatch.StartNew();
        action();
        record(name, "ms", Better.Less, clock.Elapsed.TotalMilliseconds);
    }
}
