using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Bitmaps in number: adding one and 1,000, merges of 64 large ones, 65 stored in and loaded from an image.</summary>
internal sealed class BitmapCommandScenario : IScenario
{
    private const long SizeBytes = 1L << 40;
    private const int Added = 1000;
    private const int AddedSingly = 50;
    private const int Merged = 64;
    private const int Stored = 65;

    /// <summary>Writes in all, so that both sides' bitmaps hold the same bits.</summary>
    private const int Writes = 192_000;
    private const int RequestBytes = 4096;
    private const int Depth = 16;

    public string Name => "bitmap-commands";

    public string Description => "bitmaps in number: adding, merging, storing and loading them";

    public void Run(BenchRun run, Record record)
    {
        AddOne(run, record, "1 GiB", 1L << 30);
        AddOne(run, record, "64 TiB", 1L << 46);
        AddMany(run, record);
        MergeMany(run, record);
        StoreAndLoad(run, record, "one history", 1);
        StoreAndLoad(run, record, "many histories", Merged);
    }

    private static void AddOne(BenchRun run, Record record, string size, long bytes)
    {
        using var daemon = new Daemon(run);
        AddNull(daemon, "n", bytes);
        daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("n", "first"));
        var clock = Stopwatch.StartNew();
        for (int i = 0; i < AddedSingly; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("n", $"b{i}"));
        }

        record($"add of a bitmap to {size}", "ms", Better.Less, clock.Elapsed.TotalMilliseconds / AddedSingly);
    }

    private static void AddMany(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run);
        AddNull(daemon, "n", SizeBytes);
        var actions = new JsonArray();
        for (int i = 0; i < Added; i++)
        {
            actions.Add((JsonNode)new JsonObject { ["type"] = "block-dirty-bitmap-add", ["data"] = Bitmap("n", $"b{i}") });
        }

        Time(record, $"transaction adding {Added} bitmaps to 1 TiB", () => daemon.Qmp.Command("transaction", new JsonObject { ["actions"] = actions }));
    }

    private static void MergeMany(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run, withNbd: true);
        AddHistories(daemon, "n", Merged);
        AddHistories(daemon, "same", 1);
        for (int i = 1; i < Merged; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("same", $"b{i}"));
            Merge(daemon, "same", $"b{i}", ["b0"]);
        }

        string[] sources = [.. Enumerable.Range(0, Merged).Select(i => $"b{i}")];
        daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("n", "sum"));
        daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("same", "sum"));
        Time(record, $"merge of {Merged} bitmaps of 1 TiB, many histories", () => Merge(daemon, "n", "sum", sources));
        Time(record, $"merge of {Merged} bitmaps of 1 TiB, one history", () => Merge(daemon, "same", "sum", sources));
    }

    private static void StoreAndLoad(BenchRun run, Record record, string what, int histories)
    {
        string image = run.Work.Run("bitmaps.qcow2");
        File.Delete(image);
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", image, $"{SizeBytes}");
        using var daemon = new Daemon(run, withNbd: true);
        AddHistories(daemon, "source", histories);
        AddImage(daemon, image);
        for (int i = 0; i < Stored; i++)
        {
            daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap("n", $"b{i}", persistent: true));
            Merge(daemon, "n", $"b{i}", [new JsonObject { ["node"] = "source", ["name"] = $"b{i % histories}" }]);
        }

        Time(record, $"store of {Stored} bitmaps of {what}", () => daemon.Qmp.Command("blockdev-del", new JsonObject { ["node-name"] = "n" }));
        Time(record, $"load of {Stored} bitmaps of {what}", () => AddImage(daemon, image));
        if (run.Verify)
        {
            daemon.Qmp.Command("blockdev-del", new JsonObject { ["node-name"] = "n" });
            WorkDirectory.Tool("qemu-img", "check", "-q", image);
        }
    }

    private static void AddNull(Daemon daemon, string nodeName, long bytes) =>
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "null-co", ["node-name"] = nodeName, ["size"] = bytes });

    private static void AddImage(Daemon daemon, string image) => daemon.Qmp.Command("blockdev-add", new JsonObject
    {
        ["driver"] = "qcow2",
        ["node-name"] = "n",
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = image },
    });

    /// <summary>A node with bitmaps one after the other, each of which recorded its part of the same number of scattered writes.</summary>
    private static void AddHistories(Daemon daemon, string nodeName, int histories)
    {
        AddNull(daemon, nodeName, SizeBytes);
        string id = $"export-{nodeName}";
        daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = id, ["node-name"] = nodeName, ["writable"] = true });
        using (var connection = new NbdConnection(daemon.NbdPath, nodeName))
        {
            for (int i = 0; i < histories; i++)
            {
                daemon.Qmp.Command("block-dirty-bitmap-add", Bitmap(nodeName, $"b{i}"));
                connection.Load(write: true, RequestBytes, SizeBytes, Depth, TimeSpan.FromMinutes(1), Writes / histories, seed: i);
                daemon.Qmp.Command("block-dirty-bitmap-disable", new JsonObject { ["node"] = nodeName, ["name"] = $"b{i}" });
            }
        }

        daemon.Qmp.Command("block-export-del", new JsonObject { ["id"] = id, ["mode"] = "hard" });
        daemon.Qmp.WaitEvent("BLOCK_EXPORT_DELETED");
    }

    private static void Merge(Daemon daemon, string nodeName, string target, JsonNode[] sources) =>
        daemon.Qmp.Command(
            "block-dirty-bitmap-merge", new JsonObject { ["node"] = nodeName, ["target"] = target, ["bitmaps"] = new JsonArray(sources) });

    private static void Merge(Daemon daemon, string nodeName, string target, string[] sources) =>
        Merge(daemon, nodeName, target, [.. sources.Select(source => (JsonNode)source)]);

    private static JsonObject Bitmap(string nodeName, string name, bool persistent = false) =>
        new() { ["node"] = nodeName, ["name"] = name, ["granularity"] = 65536, ["persistent"] = persistent };

    private static void Time(Record record, string name, Action action)
    {
        var clock = Stopwatch.StartNew();
        action();
        record(name, "ms", Better.Less, clock.Elapsed.TotalMilliseconds);
    }
}
