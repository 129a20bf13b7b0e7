using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Random 4 KiB reads and writes through the daemon's NBD client: it exports a node whose bytes a <c>qemu-nbd</c> serves.</summary>
internal sealed class NbdClientScenario : IScenario
{
    private const long SizeBytes = 1L << 30;
    private static readonly int[] s_depths = [1, 16, 64];

    public string Name => "nbd-client";

    public string Description => "random 4 KiB reads and writes on an export of another server, passed on";

    public void Prepare(WorkDirectory work) => work.Filled("filled.raw", SizeBytes);

    public void Run(BenchRun run, Record record)
    {
        string socket = run.Work.Run("server.sock");
        string image = run.Work.Shared("filled.raw");
        using Process server = Process.Start(new ProcessStartInfo("qemu-nbd", ["-f", "raw", "-k", socket, "-t", "-e", "0", "-x", "d", image]))!;
        try
        {
            using var daemon = new Daemon(run, withNbd: true);
            daemon.Qmp.Command("blockdev-add", new JsonObject
            {
                ["driver"] = "nbd",
                ["node-name"] = "d",
                ["export"] = "d",
                ["open-timeout"] = 10,
                ["server"] = new JsonObject { ["type"] = "unix", ["path"] = socket },
            });
            daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "d", ["writable"] = true });
            foreach (bool write in (bool[])[false, true])
            {
                foreach (int depth in s_depths)
                {
                    NbdLoad.Measure(daemon, "d", write, SizeBytes, depth, run.Burst, $"nbd client 4K {(write ? "write" : "read")} qd{depth}", record);
                }
            }
        }
        finally
        {
            server.Kill();
            server.WaitForExit();
        }
    }
}
