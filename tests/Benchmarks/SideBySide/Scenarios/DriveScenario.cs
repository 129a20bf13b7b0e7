using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Random 4 KiB requests on raw through the export of a drive; a daemon without drives exports the node.</summary>
internal sealed class DriveScenario : IScenario
{
    private const long SizeBytes = 1L << 28;
    private static readonly int[] s_depths = [1, 16, 64];

    public string Name => "drive";

    public string Description => "random 4 KiB reads and writes over NBD through a drive's export, on raw (beside QSD's export of the node)";

    public void Prepare(WorkDirectory work) => work.Filled("drive.raw", SizeBytes);

    public void Run(BenchRun run, Record record)
    {
        using var daemon = new Daemon(run, withNbd: true);
        var file = new JsonObject { ["driver"] = "file", ["filename"] = run.Work.Shared("drive.raw") };
        daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = "raw", ["node-name"] = "d", ["file"] = file });
        var export = new JsonObject { ["type"] = "nbd", ["id"] = "e", ["name"] = "d", ["writable"] = true };
        if (daemon.Qmp.Command("query-commands")!.AsArray().Any(command => (string?)command!["name"] == "device_add"))
        {
            daemon.Qmp.Command("device_add", new JsonObject { ["driver"] = "virtio-blk-pci", ["id"] = "disk", ["drive"] = "d" });
            export["device"] = "/machine/peripheral/disk/virtio-backend";
        }
        else
        {
            export["node-name"] = "d";
        }

        daemon.Qmp.Command("block-export-add", export);
        foreach (bool write in (bool[])[false, true])
        {
            foreach (int depth in s_depths)
            {
                NbdLoad.Measure(daemon, "d", write, SizeBytes, depth, run.Burst, $"drive 4K {(write ? "write" : "read")} qd{depth}", record);
            }
        }
    }
}
