namespace Benchmarks.SideBySide.Scenarios;

/// <summary>Spawn to greeting, and resident memory when idle.</summary>
internal sealed class StartUpScenario : IScenario
{
    private const int Starts = 5;
    private static readonly TimeSpan s_settle = TimeSpan.FromMilliseconds(300);

    public string Name => "startup";

    public string Description => "start to greeting, idle memory";

    public void Run(BenchRun run, Record record)
    {
        for (int i = 0; i < Starts; i++)
        {
            using var daemon = new Daemon(run);
            record("start to greeting", "ms", Better.Less, daemon.ToGreeting.TotalMilliseconds);
            Thread.Sleep(s_settle);
            record("idle RSS", "MiB", Better.Less, daemon.ResidentMiB());
        }
    }
}
