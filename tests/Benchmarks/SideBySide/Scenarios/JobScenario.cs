using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Mirror and full backup of 1 GiB of allocated qcow2 to a new qcow2.</summary>
internal sealed class JobScenario : IScenario
{
    private const long SizeBytes = 1L << 30;

    public string Name => "jobs";

    public string Description => "mirror and full backup of 1 GiB";

    public void Prepare(WorkDirectory work)
    {
        string raw = work.Filled("filled.raw", SizeBytes);
        WorkDirectory.Tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, work.Shared("source.qcow2"));
    }

    public void Run(BenchRun run, Record record)
    {
        RunJob(run, "blockdev-mirror", "mirror full 1 GiB", hasReady: true, record);
        RunJob(run, "blockdev-backup", "backup full 1 GiB", hasReady: false, record);
    }

    private static void RunJob(BenchRun run, string command, string name, bool hasReady, Record record)
    {
        string target = run.Work.Run($"{command}.qcow2");
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", target, $"{SizeBytes}");
        using (var daemon = new Daemon(run))
        {
            AddQcow2(daemon, "src", run.Work.Shared("source.qcow2"), readOnly: true);
            AddQcow2(daemon, "dst", target, readOnly: false);
            double cpu = daemon.CpuSeconds();
            var clock = Stopwatch.StartNew();
            daemon.Qmp.Command(command, new JsonObject { ["job-id"] = "j", ["device"] = "src", ["target"] = "dst", ["sync"] = "full" });
            if (hasReady)
            {
                daemon.Qmp.WaitEvent("BLOCK_JOB_READY");
                daemon.Qmp.Command("block-job-complete", new JsonObject { ["device"] = "j" });
            }

            if (daemon.Qmp.WaitEvent("BLOCK_JOB_COMPLETED")?["error"] is { } error)
            {
                throw new InvalidOperationException($"{command}: {error}");
            }

            record(name, "s", Better.Less, clock.Elapsed.TotalSeconds);
            record($"{name}, CPU", "s", Better.Less, daemon.CpuSeconds() - cpu);
        }

        if (run.Verify)
        {
            WorkDirectory.Tool("qemu-img", "compare", run.Work.Shared("source.qcow2"), target);
        }
    }

    private static void AddQcow2(Daemon daemon, string nodeName, string path, bool readOnly) => daemon.Qmp.Command("blockdev-add", new JsonObject
    {
        ["driver"] = "qcow2",
        ["node-name"] = nodeName,
        ["read-only"] = readOnly,
        ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = path },
    });
}
