namespace Benchmarks.SideBySide;

/// <summary>Which of two figures is the better one.</summary>
internal enum Better
{
    /// <summary>Rates.</summary>
    More,

    /// <summary>Times, CPU, memory.</summary>
    Less,
}

/// <summary>Takes one figure of a run.</summary>
internal delegate void Record(string name, string unit, Better better, double value);

/// <summary>One turn of a scenario.</summary>
/// <param name="Program">The daemon's executable.</param>
/// <param name="Work">Where its files go.</param>
/// <param name="Burst">How long one load lasts.</param>
/// <param name="Verify">Whether results are checked too (after the clock stopped).</param>
internal sealed record BenchRun(string Program, WorkDirectory Work, TimeSpan Burst, bool Verify);

/// <summary>One piece of work done by each daemon in turn.</summary>
internal interface IScenario
{
    /// <summary>The name for <c>--only</c>.</summary>
    string Name { get; }

    /// <summary>What it measures, for <c>--help</c>.</summary>
    string Description { get; }

    /// <summary>Makes what all runs share.</summary>
    void Prepare(WorkDirectory work)
    {
    }

    /// <summary>Runs once against one daemon.</summary>
    void Run(BenchRun run, Record record);
}
