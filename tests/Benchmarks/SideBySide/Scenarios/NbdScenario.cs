using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Random 4 KiB reads and in-place writes over NBD, on raw and on qcow2, at depth 1, 16 and 64.</summary>
internal sealed class NbdScenario : IScenario
{
    private const long SizeBytes = 1L << 30;
    private static readonly int[] s_depths = [1, 16, 64];

    public string Name => "nbd";

    public string Description => "random 4 KiB reads and writes over NBD, on raw and on qcow2";

    public void Prepare(WorkDirectory work)
    {
        string raw = work.Filled("filled.raw", SizeBytes);
        WorkDirectory.Tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, work.Shared("filled.qcow2"));
    }

    public void Run(BenchRun run, Record record)
    {
        foreach (string format in (string[])["raw", "qcow2"])
        {
            using var daemon = new Daemon(run, withNbd: true);
            var file = new JsonObject { ["driver"] = "file", ["filename"] = run.Work.Shared($"filled.{format}") };
            daemon.Qmp.Command("blockdev-add", new JsonObject { ["driver"] = format, ["node-name"] = "d", ["file"] = file });
            daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "d", ["writable"] = true });
            foreach (bool write in (bool[])[false, true])
            {
                foreach (int depth in s_depths)
                {
                    NbdLoad.Measure(daemon, "d", write, SizeBytes, depth, run.Burst, $"{format} 4K {(write ? "write" : "read")} qd{depth}", record);
                }
            }
        }
    }
}
