using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>
/// qcow2 over NBD beyond plain random access: two clients, long transfers, writes scattered over an empty 1 TiB image, the allocation map
/// of a fragmented image, the memory of a 1 TiB image whose tables are all in it.
/// </summary>
internal sealed class Qcow2Scenario : IScenario
{
    private const long FilledBytes = 1L << 30;
    private const long HugeBytes = 1L << 40;
    private const long FragmentedBytes = 4L << 30;
    private const int ClusterBytes = 65536;
    private const int TransferBytes = 256 << 10;
    private const int TableSliceCovers = 32 << 20;
    private const int ScatteredWrites = 6000;
    private const int MapPasses = 10;

    public string Name => "qcow2";

    public string Description => "qcow2 beyond random access: two clients, scattered writes, the map and memory of large images";

    public void Prepare(WorkDirectory work)
    {
        string raw = work.Filled("filled.raw", FilledBytes);
        WorkDirectory.Tool("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, work.Shared("filled.qcow2"));
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", work.Shared("huge.qcow2"), $"{HugeBytes}");
        string fragmented = work.Shared("fragmented.qcow2");
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", fragmented, $"{FragmentedBytes}");
        List<string> writes = [];
        for (long at = 0; at < FragmentedBytes; at += 2 * ClusterBytes)
        {
            writes.AddRange(["-c", $"write -q {at} 4k"]);
        }

        foreach (string[] part in writes.Chunk(4096))
        {
            WorkDirectory.Tool("qemu-io", ["-f", "qcow2", .. part, fragmented]);
        }
    }

    public void Run(BenchRun run, Record record)
    {
        WithExport(run, run.Work.Shared("filled.qcow2"), new JsonObject(), daemon =>
        {
            TwoClients(daemon, write: false, run.Burst, record);
            TwoClients(daemon, write: true, run.Burst, record);
            Sequential(daemon, write: false, run.Burst, record);
            Sequential(daemon, write: true, run.Burst, record);
        });
        Scattered(run, record);
        WithExport(run, run.Work.Shared("fragmented.qcow2"), new JsonObject(), daemon => Map(daemon, record));
        WithExport(run, run.Work.Shared("huge.qcow2"), new JsonObject { ["l2-cache-size"] = 128 << 20 }, daemon => Memory(daemon, record));
    }

    private static void WithExport(BenchRun run, string image, JsonObject options, Action<Daemon> measure)
    {
        using var daemon = new Daemon(run, withNbd: true);
        options["driver"] = "qcow2";
        options["node-name"] = "d";
        options["file"] = new JsonObject { ["driver"] = "file", ["filename"] = image };
        daemon.Qmp.Command("blockdev-add", options);
        daemon.Qmp.Command("block-export-add", new JsonObject { ["type"] = "nbd", ["id"] = "e", ["node-name"] = "d", ["writable"] = true });
        measure(daemon);
    }

    private static void TwoClients(Daemon daemon, bool write, TimeSpan burst, Record record)
    {
        using var first = new NbdConnection(daemon.NbdPath, "d");
        using var second = new NbdConnection(daemon.NbdPath, "d");
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        Task<long> other = Task.Factory.StartNew(
            () => second.Load(write, 4096, FilledBytes, 16, burst, seed: 43), default, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        long done = first.Load(write, 4096, FilledBytes, 16, burst) + other.Result;
        Rate(daemon, $"two clients 4K {Word(write)} qd16", done, clock, cpu, record);
    }

    private static void Sequential(Daemon daemon, bool write, TimeSpan burst, Record record)
    {
        using var connection = new NbdConnection(daemon.NbdPath, "d");
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        long done = connection.Load(write, TransferBytes, FilledBytes, 4, burst, sequential: true);
        Rate(daemon, $"sequential 256K {Word(write)} qd4", done, clock, cpu, record);
    }

    private static void Scattered(BenchRun run, Record record)
    {
        string image = run.Work.Run("scattered.qcow2");
        WorkDirectory.Tool("qemu-img", "create", "-q", "-f", "qcow2", image, $"{HugeBytes}");
        WithExport(run, image, new JsonObject(), daemon =>
        {
            using var connection = new NbdConnection(daemon.NbdPath, "d");
            double cpu = daemon.CpuSeconds();
            var clock = Stopwatch.StartNew();
            long done = connection.Load(write: true, 4096, HugeBytes, 16, TimeSpan.FromMinutes(1), ScatteredWrites);
            Rate(daemon, "scattered allocating 4K write, 1 TiB, qd16", done, clock, cpu, record);
        });
    }

    private static void Map(Daemon daemon, Record record)
    {
        using var connection = new NbdConnection(daemon.NbdPath, "d", allocation: true);
        Measure("base:allocation of a daemon just started, extents", 1);
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < NbdLoad.WarmUp;)
        {
            connection.CountExtents(FragmentedBytes);
        }

        Measure("base:allocation, extents", MapPasses);

        void Measure(string name, int passes)
        {
            double cpu = daemon.CpuSeconds();
            var clock = Stopwatch.StartNew();
            long extents = 0;
            for (int pass = 0; pass < passes; pass++)
            {
                extents += connection.CountExtents(FragmentedBytes);
            }

            Rate(daemon, name, extents, clock, cpu, record);
        }
    }

    private static void Memory(Daemon daemon, Record record)
    {
        using var connection = new NbdConnection(daemon.NbdPath, "d");
        double before = daemon.ResidentMiB();
        connection.Touch(HugeBytes, TableSliceCovers);
        record("1 TiB image, 128 MiB of tables in memory", "MiB", Better.Less, daemon.ResidentMiB() - before);
    }

    private static void Rate(Daemon daemon, string name, long done, Stopwatch clock, double cpuBefore, Record record)
    {
        record($"qcow2 {name}", "IOPS", Better.More, done / clock.Elapsed.TotalSeconds);
        record($"qcow2 {name}, CPU", "µs", Better.Less, (daemon.CpuSeconds() - cpuBefore) * 1e6 / done);
    }

    private static string Word(bool write) => write ? "write" : "read";
}
