using System.Diagnostics;

namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Runs one NBD load and records its rate and the daemon's CPU per request.</summary>
internal static class NbdLoad
{
    private const int RequestBytes = 4096;

    /// <summary>How long a load runs before it counts.</summary>
    public static readonly TimeSpan WarmUp = TimeSpan.FromMilliseconds(300);

    public static void Measure(Daemon daemon, string export, bool write, long span, int depth, TimeSpan burst, string name, Record record)
    {
        using var connection = new NbdConnection(daemon.NbdPath, export);
        connection.Load(write, RequestBytes, span, depth, WarmUp);
        double cpu = daemon.CpuSeconds();
        var clock = Stopwatch.StartNew();
        long done = connection.Load(write, RequestBytes, span, depth, burst);
        record(name, "IOPS", Better.More, done / clock.Elapsed.TotalSeconds);
        record($"{name}, CPU", "µs", Better.Less, (daemon.CpuSeconds() - cpu) * 1e6 / done);
    }
}
