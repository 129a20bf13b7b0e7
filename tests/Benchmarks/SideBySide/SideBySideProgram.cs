using Benchmarks.SideBySide.Scenarios;

namespace Benchmarks.SideBySide;

/// <summary>Runs every scenario against two daemons in turn (A, B, A, B, …) and prints medians and ratios.</summary>
internal static class SideBySideProgram
{
    private static readonly IScenario[] s_scenarios =
    [
        new StartUpScenario(),
        new QmpScenario(),
        new BitmapWriteScenario(),
        new BitmapCommandScenario(),
        new NbdScenario(),
        new NbdClientScenario(),
        new DriveScenario(),
        new NodeScenario(),
        new Qcow2Scenario(),
        new JobScenario(),
    ];

    /// <summary>Says what can be measured.</summary>
    public static void PrintHelp(TextWriter output)
    {
        output.WriteLine("""
            scripts/bench [--rounds N] [--seconds S] [--only NAME,...]
            Runs the same work against qemu-storage-daemon (A) and Monitor (B) in turn and prints one table of medians, bests and ratios
            (above 1: Monitor is better). --rounds (3) is how often each is run, --seconds (1.5) how long one load lasts.

            scripts/bench micro [BENCHMARKDOTNET OPTIONS]
            Measures single parts in time and allocated bytes: --list flat names them, --filter '*Query*' picks.

            Names for --only:
            """);
        foreach (IScenario scenario in s_scenarios)
        {
            output.WriteLine($"  {scenario.Name,-16} {scenario.Description}");
        }
    }

    public static int Run(string[] arguments)
    {
        if (BenchOptions.Parse(arguments) is not { } options)
        {
            return 2;
        }

        using var work = new WorkDirectory();
        Console.WriteLine($"work files on {work.Path}; {options.Rounds} rounds; A = {options.Daemons[0]}, B = {options.Daemons[1]}");
        var report = new Report(options.Daemons.Length);
        bool wellDone = true;
        foreach (IScenario scenario in s_scenarios)
        {
            if (options.Wants(scenario.Name))
            {
                Console.Error.WriteLine($"# {scenario.Name}");
                wellDone &= Succeeds($"{scenario.Name}, preparing", () => scenario.Prepare(work)) && RunScenario(scenario, options, work, report);
            }
        }

        report.Print(Console.Out);
        return wellDone ? 0 : 1;
    }

    private static bool RunScenario(IScenario scenario, BenchOptions options, WorkDirectory work, Report report)
    {
        bool wellDone = true;
        for (int round = 0; round < options.Rounds; round++)
        {
            for (int daemon = 0; daemon < options.Daemons.Length; daemon++)
            {
                work.Clean();
                int index = daemon;
                var run = new BenchRun(options.Daemons[daemon], work, options.Burst, round == 0);
                wellDone &= Succeeds(
                    $"{scenario.Name}, {run.Program}, round {round + 1}",
                    () => scenario.Run(run, (name, unit, better, value) => report.Add(name, unit, better, index, value)));
            }
        }

        return wellDone;
    }

    /// <summary>Runs a piece; tells in one line why it failed, so that the others go on.</summary>
    private static bool Succeeds(string what, Action piece)
    {
        try
        {
            piece();
            return true;
        }
        catch (Exception failure)
        {
            Console.Error.WriteLine($"# {what} FAILED: {failure.GetBaseException().Message}");
            return false;
        }
    }
}
